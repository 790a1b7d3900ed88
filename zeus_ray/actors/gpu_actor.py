"""One Ray actor per GPU: it alone sets the limit, measures, and restores what it found.

It lives on the GPU's node, outlives the trial that created it, and ends when idle. A lease ends with its
trial however that ends: the actor watches the trial's process. It exports the metrics that Ray does not: the
power limit in force, and the energy of each trial.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.util.metrics import Counter, Gauge

from zeus_ray.actors.carbon_file_given_to_gpu_actor import JobSignal, JobSignals
from zeus_ray.actors.signal_actor import open_shared_signal
from zeus_ray.errors import LeaseRefused
from zeus_ray.gpus import discovery as discover
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.leases.carbon_aware_lease_manager import CarbonAwareLeaseManager
from zeus_ray.leases.lease_and_gpu_status import GpuStatus, Lease
from zeus_ray.leases.lease_service_protocol import GpuLeaseService
from zeus_ray.leases.process import HolderProcess, is_proven
from zeus_ray.leases.state_dir import state_dir

REAP_EVERY_S = 0.25
METRICS_EVERY_S = 5.0
END_GPU_ACTOR_AFTER_S = 60.0

logger = logging.getLogger("zeus_ray")


class GpuActor:
    """A GPU's :class:`CarbonAwareLeaseManager` behind Ray, with the methods of :class:`GpuLeaseService`.

    Its errors reach the caller as they are. ``GpuActorClient`` is the way to call it. Whoever can reach the
    actor can call every method of it: a lease is given to the calling process alone, every other call needs
    the secret that is the lease's id, and no path is opened that a caller names.
    """

    def __init__(self, source: str, uuid: str) -> None:
        self._signals = JobSignals(state_dir() / "signals", open_shared_signal)
        self._manager = CarbonAwareLeaseManager(discover.open_gpu(source, uuid), opener=self._signals.open)
        self._called_at_s = time.monotonic()
        self._ended = threading.Event()
        me = ray.get_runtime_context().current_actor
        watched = (self._manager, uuid, lambda: _is_idle(self), self._ended, me)
        threading.Thread(target=_watch, args=watched, name="zeus-ray-watch", daemon=True).start()

    @property
    def _service(self) -> GpuLeaseService:
        """The manager; remembers the time of the call."""
        self._called_at_s = time.monotonic()
        return self._manager

    def acquire(
        self,
        holder: HolderProcess,
        limit_w: float | None = None,
        *,
        control: str = "auto",
        exclusive: bool = False,
        emissions: str = "",
        proof: str = "",
        signal: JobSignal | None = None,
    ) -> Lease:
        """See :class:`GpuLeaseService`.

        Args:
            holder: the calling process.
            limit_w: see there, as for the next three.
            control: see there.
            exclusive: see there.
            emissions: see there.
            proof: by which it can be seen that the caller is that process.
            signal: the content of the file of the signal in ``emissions``.

        Raises:
            LeaseRefused: it is not.
        """
        if not is_proven(holder, proof):
            raise LeaseRefused(f"a GPU is leased by a process for itself, not for another one ({holder.pid})")
        if signal is not None:
            self._signals.take(signal)
        return self._service.acquire(
            holder, limit_w, control=control, exclusive=exclusive, emissions=emissions
        )

    def set_limit(self, lease_id: str, limit_w: float) -> Reading:
        """See :class:`GpuLeaseService`."""
        return self._service.set_limit(lease_id, limit_w)

    def follow(self, lease_id: str, profile: str) -> Reading:
        """See :class:`GpuLeaseService`."""
        return self._service.follow(lease_id, profile)

    def read(self, lease_id: str) -> Reading:
        """See :class:`GpuLeaseService`."""
        return self._service.read(lease_id)

    def release(self, lease_id: str) -> Reading:
        """See :class:`GpuLeaseService`."""
        return self._service.release(lease_id)

    def power_trace(self, lease_id: str) -> list[tuple[float, float, float]]:
        """See :class:`GpuLeaseService`."""
        return self._service.power_trace(lease_id)

    def train(self, lease_id: str, samples: int, batch_size: int) -> Reading:
        """See :class:`GpuLeaseService`."""
        return self._service.train(lease_id, samples, batch_size)

    def load(self, lease_id: str, wall_s: float) -> Reading:
        """See :class:`GpuLeaseService`."""
        return self._service.load(lease_id, wall_s)

    def time_per_sample_s(self, batch_size: int) -> float:
        """See :class:`GpuLeaseService`."""
        return self._service.time_per_sample_s(batch_size)

    def final_reading(self, lease_id: str) -> Reading:
        """The reading of a lease whose process may have ended a moment ago: at its end, if it has."""
        self._manager.reap()
        return self._service.read(lease_id)

    @ray.method(max_task_retries=0)  # type: ignore[untyped-decorator]  # a retry would create the actor again
    def end_if_idle(self) -> None:
        """End this actor, unless it was called meanwhile. It can be created again."""
        if _is_idle(self):
            self._ended.set()
            self._manager.close()
            ray.actor.exit_actor()


def _is_idle(actor: GpuActor) -> bool:
    # No method of the actor: those can be called from outside, underscore or not.
    return actor._manager.idle and time.monotonic() - actor._called_at_s > END_GPU_ACTOR_AFTER_S  # noqa: SLF001


def _watch(
    manager: CarbonAwareLeaseManager,
    uuid: str,
    idle: Callable[[], bool],
    ended: threading.Event,
    actor: Any,  # noqa: ANN401 — a Ray handle
) -> None:
    """Until the actor ends: end leases whose process is gone, decide limits, update Ray's metrics."""
    metrics, updated_at_s = GpuMetrics(), 0.0
    while not ended.wait(REAP_EVERY_S):
        try:
            manager.reap()
            manager.look()
            if time.monotonic() - updated_at_s > METRICS_EVERY_S:
                updated_at_s = time.monotonic()
                metrics.update(manager.status())
            if idle():
                # As a task, not from this thread: exit_actor works only inside an actor's task.
                actor.end_if_idle.remote()
        except Exception:
            # Whatever failed here, the loop must continue.
            logger.exception("zeus-ray: watching the leases of %s", uuid)


class GpuMetrics:
    """The metrics of one GPU, exported by the process that calls ``update``; they need ``ray[default]``.

    Ray exports power, temperature and utilisation of every GPU. These have the same ``GpuUuid`` tag, so that
    a dashboard can join them (``grafana.json`` beside this file).
    """

    def __init__(self) -> None:
        self._limit_w = Gauge(
            "zeus_gpu_power_limit_watts", description="Power limit in force (W).", tag_keys=("GpuUuid",)
        )
        self._energy_j = Counter(
            "zeus_trial_energy_joules_total",
            description="Energy of the GPU for a trial (J); equal shares where several trials hold it.",
            tag_keys=("GpuUuid", "TrialId"),
        )
        self._counted_j: dict[str, float] = {}

    def update(self, status: GpuStatus) -> None:
        """Export the limit, and the energy used since the last call."""
        self._limit_w.set(status.power_limit_w, tags={"GpuUuid": status.uuid})
        for trial_id, energy_j in status.energy_j:
            more_j = energy_j - self._counted_j.get(trial_id, 0.0)
            if more_j > 0:
                self._energy_j.inc(more_j, tags={"GpuUuid": status.uuid, "TrialId": trial_id})
        self._counted_j = dict(status.energy_j)
