"""One Ray actor per cluster, provider and zone: it alone asks the provider, and every other process asks it.

It runs on the head node, where the cluster's administrator sets the credentials before ``ray start``, so that
none is sent to other nodes. It outlives the process that created it, ends after an hour without a call, and
is created again by the next call.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import ray

from zeus_ray import __version__
from zeus_ray.actors import NAMESPACE
from zeus_ray.carbon.cached_values_and_fallback import CachedSignal, cache_file
from zeus_ray.carbon.fetched_signal import RemoteSignal, SignalSource
from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.carbon.providers.provider_registry import PROVIDERS, make_provider
from zeus_ray.carbon.series import Series, Signal
from zeus_ray.errors import SignalLost

HEAD_NODE = {"node:__internal_head__": 0.001}
"""The resource that Ray gives to the head node alone."""
SIGNAL_TIMEOUT_S = 60.0
ASK_ACTOR_EVERY_S = 300.0
CHECK_IDLE_EVERY_S = 60.0
END_SIGNAL_ACTOR_AFTER_IDLE_S = 3600.0


class SignalActor:
    """A provider's :class:`RemoteSignal` behind Ray, with its cache on the head node's disk."""

    def __init__(self, source: SignalSource) -> None:
        self._signal = RemoteSignal(source, cache=cache_file(source.name, source.zone), background=False)
        self._own_handle = ray.get_runtime_context().current_actor
        self._called_s = time.monotonic()
        threading.Thread(target=self._watch, name="zeus-ray-watch", daemon=True).start()

    def cached(self) -> tuple[CachedSignal, str]:
        """All values, fetched again if a fetch is due, and why they are not up to date ("" if they are)."""
        self._called_s = time.monotonic()
        self._signal.refresh()
        return self._signal.cached, self._signal.note

    @ray.method(max_task_retries=0)  # type: ignore[untyped-decorator]  # a retry would create the actor again
    def end_if_idle(self) -> None:
        """End this actor, unless it was called meanwhile."""
        if time.monotonic() - self._called_s > END_SIGNAL_ACTOR_AFTER_IDLE_S:
            ray.actor.exit_actor()

    def _watch(self) -> None:
        while True:
            time.sleep(CHECK_IDLE_EVERY_S)
            # exit_actor works only in a task of the actor, not in this thread.
            self._own_handle.end_if_idle.remote()


@dataclass(frozen=True)
class ActorSource:
    """The :class:`SignalSource` that asks the cluster's actor, which asks the provider ``source``."""

    source: SignalSource

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.source.name

    @property
    def zone(self) -> str:
        """The provider's zone."""
        return self.source.zone

    @property
    def unit(self) -> str:
        """The provider's unit."""
        return self.source.unit

    @property
    def kind(self) -> str:
        """The provider's kind of intensity."""
        return self.source.kind

    def fetch(self, since_s: float, now_s: float) -> tuple[Series | None, Series | None]:
        """See :class:`SignalSource`. It waits for the actor: :class:`RemoteSignal` calls it in a thread."""
        try:
            cached, note = self._call()
        except (ray.exceptions.RayError, ValueError) as error:
            raise SignalLost(f"the cluster's actor does not answer ({type(error).__name__})") from None
        if not len(cached.history):
            raise SignalLost(
                f"{note.removeprefix(f'{self.name}:{self.zone}: ')} (the actor on the head node reports)"
            )
        return cached.history.between(since_s, now_s), cached.forecast if len(cached.forecast) else None

    def _call(self) -> tuple[CachedSignal, str]:
        def call() -> tuple[CachedSignal, str]:
            answer: tuple[CachedSignal, str] = ray.get(
                self._actor().cached.remote(), timeout=SIGNAL_TIMEOUT_S
            )
            return answer

        try:
            return call()
        except ray.exceptions.ActorDiedError:  # it was just ending: the second call creates it again
            return call()

    def _actor(self) -> Any:  # noqa: ANN401 — a Ray handle
        options = {
            "name": f"carbon-{__version__}-{self.name}-{self.zone}",
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "num_cpus": 0,
            "resources": HEAD_NODE,
            "max_restarts": -1,
        }
        return ray.remote(SignalActor).options(**options).remote(self.source)


def open_shared_signal(spec: str) -> Signal:
    """As :func:`zeus_ray.open_signal`, for a process of the cluster, which needs no credential.

    Raises:
        BadInput: as there, except for a missing credential.
    """
    name, _, zone = spec.strip().partition(":")
    if name in PROVIDERS:
        return share_signal(RemoteSignal(make_provider(name, zone)))
    return open_signal(spec)


def share_signal(signal: Signal) -> Signal:
    """The same signal for any number of processes of this cluster, of which one actor asks the provider.

    A signal without a provider (a constant, a file) is returned as it is.
    """
    if not isinstance(signal, RemoteSignal) or isinstance(signal.source, ActorSource):
        return signal
    return RemoteSignal(ActorSource(signal.source), fallback=signal.fallback, every_s=ASK_ACTOR_EVERY_S)
