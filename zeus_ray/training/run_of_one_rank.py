"""One process of a job started by torchrun, accelerate, Slurm or MPI: its own GPU, its part of the batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zeus_ray.errors import BadInput, NoDevice
from zeus_ray.gpus import discovery as discover
from zeus_ray.gpus.protocol import Gpu
from zeus_ray.gpus.registry import load_source
from zeus_ray.records import Plan
from zeus_ray.training.frameworks import find_gather
from zeus_ray.training.gpu_group_exchanging_at_windows import RankGpuGroup
from zeus_ray.training.gpu_group_over_ranks import DistributedGpuGroup
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.ranks_from_environment import Ranks
from zeus_ray.training.training_run import TrainingRun
from zeus_ray.training.where_run_leases_and_reports import (
    RunContext,
    gpu_settings,
    lease_here,
    lease_or_none,
)


class RankRun(TrainingRun):
    """The run of a job, as each of its processes has it: the same limit and stop at the same step."""

    def __init__(self, ranks: Ranks, plan: Plan, group: GpuGroup, **options: Any) -> None:  # noqa: ANN401 — TrainingRun's
        self.rank, self.processes = ranks.rank, ranks.world_size
        super().__init__(plan, group, **options)
        if super().micro_batch_size % self.processes:
            raise BadInput(
                f"{super().micro_batch_size} samples per step cannot be split over {self.processes} "
                "processes; batch_size= is that of a step over all processes, a multiple of their number"
            )

    @property
    def micro_batch_size(self) -> int:
        """Samples that go through the model at once in this process: its share."""
        return super().micro_batch_size // self.processes

    @property
    def note(self) -> str:
        """What the user should know at the start; only rank 0 tells it."""
        return super().note if self.rank == 0 else ""

    @property
    def unfinished(self) -> str:
        """At the end, that the power profile is not complete; only rank 0 tells it."""
        return super().unfinished if self.rank == 0 else ""

    def out_of_memory(self, error: Exception) -> None:
        """End this process with the error: the others wait for it and cannot be asked.

        Raises:
            Exception: ``error``, always.
        """
        raise error


def rank_run(ranks: Ranks, plan: Plan, group: GpuGroup, **options: Any) -> TrainingRun:  # noqa: ANN401 — TrainingRun's
    """The run of process ``ranks``; one that measures for all others is the only one."""
    if not group.by_steps:
        return TrainingRun(plan, group, **options)
    return RankRun(ranks, plan, group, **options)


@dataclass(frozen=True, kw_only=True)
class RankContext(RunContext):
    """A process of a job of several, without Ray.

    Attributes:
        ranks: which one it is.
    """

    ranks: Ranks

    def lease(self, plan: Plan, gpus: int) -> GpuGroup:
        """Lease this process's GPUs: by its rank on this machine, or all that CUDA_VISIBLE_DEVICES leaves it.

        Raises:
            BadInput: a search has planned the run, and the processes cannot exchange what they measure; or
                several processes want all GPUs.
        """
        mine = lease_or_none(self._lease_mine, plan, gpus)
        if gpus > 1 and self._measures_for_all(plan, gpus):
            return mine
        if plan.online is not None:
            return RankGpuGroup(mine, self.ranks, find_gather)
        gather = find_gather(self.ranks)
        if gather is None:
            mine.release()
            raise BadInput(
                "a run that a search has planned, in a job of several processes: initialise "
                "torch.distributed before the session, and open the session in every process"
            )
        return DistributedGpuGroup(mine, gather)

    def _measures_for_all(self, plan: Plan, gpus: int) -> bool:
        """Whether this process has all GPUs that there are; then it opens the only session of the job."""
        source, _control = gpu_settings(plan)
        if load_source(source).visible_variable in os.environ:
            return False
        try:
            visible = len(discover.open_gpus(source))
        except NoDevice:
            return False
        if visible != gpus:
            return False
        if self.ranks.local_rank:
            raise BadInput(
                f"gpus is {gpus} in each of several processes, but this machine has {visible}: open the "
                "session in every process with its own number of GPUs, or with all of them in rank 0 alone"
            )
        return True

    def _lease_mine(self, plan: Plan, gpus: int) -> GpuGroup:
        source, _control = gpu_settings(plan)
        try:
            opened = discover.open_gpus(source)
        except NoDevice as error:
            return GpuGroup((), why_none=str(error))
        visible = discover.visible_gpus(source, os.environ, opened)
        by_hand = load_source(source).visible_variable in os.environ
        chosen = gpus_of_rank(visible, self.ranks, gpus, by_hand=by_hand)
        if not chosen:
            why_none = (
                f"process {self.ranks.local_rank} on this machine has no GPU of its own: "
                f"{len(visible)} are visible"
            )
            return GpuGroup((), why_none=why_none)
        return lease_here(chosen, plan)


def gpus_of_rank(visible: Sequence[Gpu], ranks: Ranks, gpus: int, *, by_hand: bool) -> Sequence[Gpu]:
    """The GPUs of one process among those that it sees; none where there are too few.

    Args:
        visible: the GPUs that this process sees, in the framework's order.
        ranks: which process this is.
        gpus: GPUs per process.
        by_hand: whether CUDA_VISIBLE_DEVICES is set: then as many as ``gpus`` are all this process's own.
    """
    if len(visible) == gpus and (by_hand or ranks.local_rank == 0):
        return visible
    first = ranks.local_rank * gpus
    return visible[first : first + gpus] if first + gpus <= len(visible) else ()
