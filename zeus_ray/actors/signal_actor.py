"""One actor per cluster and zone asks the provider; everybody else asks the actor.

It runs on the head node, where whoever keeps the cluster sets the token before ``ray start``: no
token travels. It outlives whoever asked first, leaves when nobody has asked for an hour, and is created
again by the next to ask.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import ray

from zeus_ray import __version__
from zeus_ray.carbon.cache import CachedSignal, cache_file
from zeus_ray.carbon.providers import PROVIDERS, provider
from zeus_ray.carbon.remote_signal import RemoteSignal, SignalSource
from zeus_ray.carbon.series import Series, Signal
from zeus_ray.carbon.signal import open_signal
from zeus_ray.errors import SignalLost

NAMESPACE = "zeus-ray"
HEAD = {"node:__internal_head__": 0.001}
"""The resource that Ray gives to the head node alone."""
ANSWER_WITHIN_S = 60.0
CLIENT_EVERY_S = 300.0
LOOK_EVERY_S = 60.0
LEAVE_AFTER_IDLE_S = 3600.0


class SignalActor:
    """A provider's :class:`RemoteSignal` behind Ray, with its cache on the head node's disk."""

    def __init__(self, source: SignalSource) -> None:
        self._signal = RemoteSignal(source, cache=cache_file(source.name, source.zone), background=False)
        self._myself = ray.get_runtime_context().current_actor
        self._asked_at_s = time.monotonic()
        threading.Thread(target=self._watch, name="zeus-ray-watch", daemon=True).start()

    def known(self) -> tuple[CachedSignal, str]:
        """Everything that is known, asked for anew if it is time; and why it is not fresh, if it is not."""
        self._asked_at_s = time.monotonic()
        self._signal.refresh()
        return self._signal.known, self._signal.note

    @ray.method(max_task_retries=0)  # type: ignore[untyped-decorator]  # doing it again would create it again
    def leave_if_idle(self) -> None:
        """End this actor for good, unless somebody has asked meanwhile."""
        if time.monotonic() - self._asked_at_s > LEAVE_AFTER_IDLE_S:
            ray.actor.exit_actor()

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            # From here, not from this thread: exit_actor works only inside an actor's task.
            self._myself.leave_if_idle.remote()


@dataclass(frozen=True)
class ActorSource:
    """The :class:`SignalSource` that asks the cluster's actor, which asks ``source``."""

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
        """See :class:`SignalSource`. In a thread of its own, as :class:`RemoteSignal` does: nobody waits."""
        try:
            known, note = self._ask()
        except (ray.exceptions.RayError, ValueError) as error:
            raise SignalLost(f"the cluster's actor does not answer ({type(error).__name__})") from None
        if not len(known.past):
            raise SignalLost(
                note.removeprefix(f"{self.name}:{self.zone}: ") + " (said the actor on the head node)"
            )
        return known.past.between(since_s, now_s), known.ahead if len(known.ahead) else None

    def _ask(self) -> tuple[CachedSignal, str]:
        def ask() -> tuple[CachedSignal, str]:
            answer: tuple[CachedSignal, str] = ray.get(self._actor().known.remote(), timeout=ANSWER_WITHIN_S)
            return answer

        try:
            return ask()
        except ray.exceptions.ActorDiedError:  # it was just leaving: the next call creates it again
            return ask()

    def _actor(self) -> Any:  # noqa: ANN401 — a Ray handle
        options = {
            "name": f"carbon-{__version__}-{self.name}-{self.zone}",
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "num_cpus": 0,
            "resources": HEAD,
            "max_restarts": -1,
        }
        return ray.remote(SignalActor).options(**options).remote(self.source)


def open_shared(text: str) -> Signal:
    """As :func:`zeus_ray.open_signal`, for a process of the cluster; it needs no token, the head node does.

    Raises:
        BadInput: as there, but for a token that is missing.
    """
    name, _, zone = text.strip().partition(":")
    return shared(RemoteSignal(provider(name, zone))) if name in PROVIDERS else open_signal(text)


def shared(signal: Signal) -> Signal:
    """The same signal for any number of processes of this cluster: one of them asks the provider.

    What no provider is behind (a constant, a file) comes back as it is.
    """
    if not isinstance(signal, RemoteSignal) or isinstance(signal.source, ActorSource):
        return signal
    return RemoteSignal(ActorSource(signal.source), fallback=signal.fallback, every_s=CLIENT_EVERY_S)
