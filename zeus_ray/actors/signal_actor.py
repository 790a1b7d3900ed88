"""One actor per cluster and zone asks the provider of a signal; every other process asks the actor.

It runs on the head node, where the operator sets the provider's token before ``ray start``, so that no token
is sent between nodes. It outlives the process that created it, ends after an hour without a request, and is
created again by the next request.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import ray

from zeus_ray import __version__
from zeus_ray.actors import NAMESPACE
from zeus_ray.carbon.cache import CachedSignal, cache_file
from zeus_ray.carbon.providers import PROVIDERS, provider
from zeus_ray.carbon.remote_signal import RemoteSignal, SignalSource
from zeus_ray.carbon.series import Series, Signal
from zeus_ray.carbon.signal import open_signal
from zeus_ray.errors import SignalLost

ON_HEAD_NODE = {"node:__internal_head__": 0.001}
"""The resource that only the head node has."""
SIGNAL_WITHIN_S = 60.0
CLIENT_EVERY_S = 300.0
IDLE_CHECK_EVERY_S = 60.0
END_SIGNAL_AFTER_IDLE_S = 3600.0


class SignalActor:
    """A provider's :class:`RemoteSignal` behind Ray, with its cache on the head node's disk."""

    def __init__(self, source: SignalSource) -> None:
        self._signal = RemoteSignal(source, cache=cache_file(source.name, source.zone), background=False)
        self._myself = ray.get_runtime_context().current_actor
        self._asked_at_s = time.monotonic()
        threading.Thread(target=self._watch, name="zeus-ray-watch", daemon=True).start()

    def known(self) -> tuple[CachedSignal, str]:
        """Everything that is known, refreshed if it is time; and why it is not fresh, "" if it is."""
        self._asked_at_s = time.monotonic()
        self._signal.refresh()
        return self._signal.known, self._signal.note

    @ray.method(max_task_retries=0)  # type: ignore[untyped-decorator]  # a retry would create the actor again
    def end_if_idle(self) -> None:
        """End this actor, unless it was asked meanwhile. It can be created again."""
        if time.monotonic() - self._asked_at_s > END_SIGNAL_AFTER_IDLE_S:
            ray.actor.exit_actor()

    def _watch(self) -> None:
        while True:
            time.sleep(IDLE_CHECK_EVERY_S)
            # As a task, not from this thread: exit_actor works only inside an actor's task.
            self._myself.end_if_idle.remote()


@dataclass(frozen=True)
class ActorSource:
    """A :class:`SignalSource` that asks the cluster's actor, which asks ``source``."""

    source: SignalSource

    @property
    def name(self) -> str:
        """The provider's."""
        return self.source.name

    @property
    def zone(self) -> str:
        """The provider's."""
        return self.source.zone

    @property
    def unit(self) -> str:
        """The provider's."""
        return self.source.unit

    @property
    def kind(self) -> str:
        """The provider's."""
        return self.source.kind

    def fetch(self, since_s: float, now_s: float) -> tuple[Series | None, Series | None]:
        """See :class:`SignalSource`. :class:`RemoteSignal` calls it in a thread of its own."""
        try:
            known, note = self._ask()
        except (ray.exceptions.RayError, ValueError) as error:
            raise SignalLost(f"the cluster's actor does not answer ({type(error).__name__})") from None
        if not len(known.past):
            raise SignalLost(
                note.removeprefix(f"{self.name}:{self.zone}: ") + " (reported by the actor on the head node)"
            )
        return known.past.between(since_s, now_s), known.ahead if len(known.ahead) else None

    def _ask(self) -> tuple[CachedSignal, str]:
        def ask() -> tuple[CachedSignal, str]:
            answer: tuple[CachedSignal, str] = ray.get(self._actor().known.remote(), timeout=SIGNAL_WITHIN_S)
            return answer

        try:
            return ask()
        except ray.exceptions.ActorDiedError:  # it was just ending, being idle: this creates it again
            return ask()

    def _actor(self) -> Any:  # noqa: ANN401 — a Ray handle
        options = {
            "name": f"carbon-{__version__}-{self.name}-{self.zone}",
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "num_cpus": 0,
            "resources": ON_HEAD_NODE,
            "max_restarts": -1,
        }
        return ray.remote(SignalActor).options(**options).remote(self.source)


def open_shared(text: str) -> Signal:
    """As :func:`zeus_ray.open_signal`, for a process of a cluster. Only the head node needs a token.

    Raises:
        BadInput: as there, except for a missing token.
    """
    name, _, zone = text.strip().partition(":")
    return shared(RemoteSignal(provider(name, zone))) if name in PROVIDERS else open_signal(text)


def shared(signal: Signal) -> Signal:
    """The same signal, read through the cluster's actor, so that one process asks the provider for all.

    A signal without a provider (a constant, a file) is returned unchanged.
    """
    if not isinstance(signal, RemoteSignal) or isinstance(signal.source, ActorSource):
        return signal
    return RemoteSignal(ActorSource(signal.source), fallback=signal.fallback, every_s=CLIENT_EVERY_S)
