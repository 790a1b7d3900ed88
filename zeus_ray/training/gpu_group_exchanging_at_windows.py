"""The GPUs of a job that torchrun, accelerate, Slurm or MPI has started, as one of its processes sees them.

Each process leases its own GPUs. The processes exchange what they have measured at the edges of windows,
which are counted in steps, and never otherwise: a report of one process alone waits for no other. Between two
exchanges the readings of the others go on at their last mean power.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from zeus_ray.gpus.energy.readings import Reading, joined
from zeus_ray.records import NAN
from zeus_ray.training.gpu_group_over_ranks import Gather
from zeus_ray.training.leased_gpu_group import GpuGroup, LeasedGpu, PowerPoints
from zeus_ray.training.machine_cpu_energy_during_run import this_machine
from zeus_ray.training.ranks_from_environment import Ranks

logger = logging.getLogger("zeus_ray")


class RankGpuGroup(GpuGroup):
    """All GPUs of a job, once :meth:`connect` has found the other processes; this one's until then.

    A reason to stop is a wish until all processes know it: that of rank 0 counts, from the next edge on.

    Args:
        mine: the GPUs that this process has leased, and releases.
        ranks: which process this is.
        find_gather: how values are exchanged; returns None where that is not possible.
    """

    by_steps = True

    def __init__(self, mine: GpuGroup, ranks: Ranks, find_gather: Callable[[Ranks], Gather | None]) -> None:
        super().__init__((), why_none=mine.why_none)
        self.mine, self.leases, self.held = mine, mine.leases, mine.held
        self.ranks = ranks
        self.logs = ranks.rank == 0
        self._find_gather = find_gather
        self._gather: Gather | None = None
        self._alone = False
        self._others: tuple[Reading, Reading, float, float, float] | None = None

    @property
    def stops_together(self) -> bool:  # type: ignore[override]
        """Whether a reason to stop is only a wish, until the others know it."""
        return not self._alone

    def connect(self) -> str:
        """Exchange the leases. A GPU that two processes have leased counts for the first of them."""
        self._gather = self._find_gather(self.ranks)
        mine = (socket.gethostname(), this_machine(), self.mine.leases, self.mine.held, self.why_none)
        everyones = self._asked(mine)
        if not everyones:
            self._alone = True
            return (
                f"this is one of {self.ranks.world_size} processes ({self.ranks.launcher}), and they cannot "
                "exchange what they measure: each measures its own GPU, and no limit is set. Initialise "
                "torch.distributed before the first step, and open the session in every process"
            )
        seen: set[tuple[str, str]] = set()
        leases, held, measuring = [], [], 0
        self.mine.counts_cpus = this_machine() not in [name for _, name, *_ in everyones[: self.ranks.rank]]
        for rank, (host, _machine, theirs, their_held, _why) in enumerate(everyones):
            gpus = {(host, lease.uuid) for lease in theirs}
            if gpus & seen:
                if rank == self.ranks.rank:
                    self._drop_mine()
                continue
            seen |= gpus
            measuring += bool(theirs)
            leases += theirs
            held += their_held
        self.leases, self.held = tuple(leases), tuple(held)
        if measuring < len(everyones):  # a process without a GPU exchanges no reading, nor that of its CPUs
            self.mine.stop_measuring_cpus()
        self.why_none = next((why for *_, why in everyones if why), "")
        return ""

    def _drop_mine(self) -> None:
        uuids = ", ".join(lease.uuid for lease in self.mine.leases)
        logger.warning(
            "zeus-ray: rank %d uses %s, which another rank of this job measures already: it counts once",
            self.ranks.rank,
            uuids,
        )
        self.mine.release()
        self.mine = GpuGroup((), why_none=f"{uuids} is measured by another rank")

    def exchange(self, value: Any) -> list[Any]:  # noqa: ANN401 — small values of any type
        """See :class:`GpuGroup`; also exchanges readings and the wish to stop."""
        if self._gather is None:
            return [value]
        mine = self.mine.read()
        answers = self._asked((value, mine if len(self.mine) else None, self.stop_wish))
        if not answers:
            return []
        self.agreed_stop = answers[0][2]
        self._note([reading for _value, reading, _wish in answers], mine)
        return [theirs for theirs, *_ in answers]

    def _asked(self, value: Any) -> list[Any]:  # noqa: ANN401 — small values of any type
        """Every process's value; none where one of them does not answer, and none from then on."""
        if self._gather is None:
            return []
        try:
            return self._gather(value)
        except Exception as error:  # noqa: BLE001 — torch's own: a process has ended, or left the loop
            logger.warning("zeus-ray: the other processes do not answer; the limit stays as it is: %s", error)
            self._gather, self._alone = None, True
            return []

    def _note(self, readings: Sequence[Reading | None], mine: Reading) -> None:
        """Remember the other processes' readings, and their mean power since the exchange before."""
        others = [r for rank, r in enumerate(readings) if r is not None and rank != self.ranks.rank]
        if not others:
            return
        now = joined(others)
        before, then_s = (self._others[0], self._others[1].time_s) if self._others else (None, 0.0)
        passed_s = mine.time_s - then_s
        used_j = now.energy_j - (before.energy_j if before else 0.0)
        cpus_j = now.cpu_energy_j - (before.cpu_energy_j if before else 0.0)
        dram_j = now.dram_energy_j - (before.dram_energy_j if before else 0.0)
        share = 1 / passed_s if passed_s > 0 else 0.0
        self._others = now, mine, used_j * share, cpus_j * share, dram_j * share

    def each(self, call: Callable[[LeasedGpu], Reading]) -> Reading:
        """This process calls its own GPUs; the others' readings go on at their last mean power."""
        return self._with_others(self.mine.each(call))

    def read(self) -> Reading:
        """Energy, time and limit now, the other processes' as far as they are known."""
        return self._with_others(self.mine.read())

    def _with_others(self, mine: Reading) -> Reading:
        if self._others is None:
            return mine if self.mine.counts_cpus else replace(mine, cpu_energy_j=NAN, dram_energy_j=NAN)
        theirs, then, power_w, cpus_w, dram_w = self._others
        passed_s = max(0.0, mine.time_s - then.time_s)
        share = power_w * passed_s / theirs.energy_j if theirs.energy_j > 0 else 0.0
        known = replace(
            theirs,
            energy_j=theirs.energy_j + power_w * passed_s,
            energy_j_err=theirs.energy_j_err + power_w * passed_s,
            time_s=theirs.time_s + passed_s,
            carbon_g=theirs.carbon_g * (1 + share),
            price=theirs.price * (1 + share),
            cpu_energy_j=theirs.cpu_energy_j + cpus_w * passed_s,
            dram_energy_j=theirs.dram_energy_j + dram_w * passed_s,
        )
        known = replace(known, time_s=max(known.time_s, mine.time_s))
        return joined([mine, known]) if len(self.mine) else known

    def slowest_sample_s(self, share: int) -> float:
        """See :class:`GpuGroup`; the processes' GPUs are taken for equal."""
        return self.mine.slowest_sample_s(share)

    def power_traces(self) -> dict[str, PowerPoints]:
        """See :class:`GpuGroup`."""
        return self.mine.power_traces()

    def release(self) -> None:
        """Release this process's GPUs; the other processes release theirs."""
        self.released = True
        self.mine.release()
