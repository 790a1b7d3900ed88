"""Metrics that Ray does not export itself: the power limit in force, and the energy of each trial.

Ray exports power, temperature and utilisation of every GPU. These metrics have the same ``GpuUuid`` tag, so
that a dashboard can join them (``grafana.json`` beside this file). They need ``ray[default]``.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge

from zeus_ray.leases.lease import GpuStatus


class GpuMetrics:
    """The metrics of one GPU, exported by the process that calls ``update``."""

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
