"""The GPUs of a job of several processes as one: each process reads and sets its own, and knows all readings.

Each process runs the same code on the same numbers, so all of them come to the same limit, the same window
and the same stop at the same step, without a coordinator. Only their clocks differ: with these groups,
windows are counted in steps (see :class:`zeus_ray.training.samples_and_time.RunClock`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from zeus_ray.gpus.energy.readings import Reading, joined
from zeus_ray.records import PowerProfile
from zeus_ray.training.leased_gpu_group import GpuGroup, LeasedGpu, PowerPoints
from zeus_ray.training.machine_cpu_energy_during_run import this_machine

Gather = Callable[[Any], list[Any]]
"""Takes this process's value and returns every process's, in the order of their ranks; waits for all."""


class DistributedGpuGroup(GpuGroup):
    """All GPUs of a job. Every method that reads or sets must be called by every process in the same order.

    Args:
        mine: the GPUs that this process has leased, and releases.
        gather: exchanges values between the processes.

    An error in one process is raised in all of them.
    """

    by_steps = True

    def __init__(self, mine: GpuGroup, gather: Gather) -> None:
        machine, me = this_machine(), secrets.token_hex(8)
        everyones = gather((machine, me, mine.leases, mine.held, mine.why_none))
        super().__init__((), why_none=next((why for *_, why in everyones if why), ""))
        self.leases = tuple(lease for _, _, leases, *_ in everyones for lease in leases)
        self.held = tuple(one for *_, held, _ in everyones for one in held)
        self.mine = mine
        mine.counts_cpus = me == next(first for name, first, *_ in everyones if name == machine)
        self._gather = gather

    def exchange(self, value: Any) -> list[Any]:  # noqa: ANN401 — small values of any type
        """See :class:`GpuGroup`."""
        return self._gather(value)

    def read(self) -> Reading:
        """Energy, time and limit of all GPUs now."""
        return joined(self._together(self.mine.read))

    def each(self, call: Callable[[LeasedGpu], Reading]) -> Reading:
        """Every process calls its own GPUs, all at the same time."""
        return joined(self._together(lambda: self.mine.each(call)))

    def follow(self, profile: PowerProfile) -> None:
        """Every process lets its own GPUs follow the signal."""
        self.mine.follow(profile)

    def slowest_sample_s(self, share: int) -> float:
        """See :class:`GpuGroup`."""
        return float(max(self._together(lambda: self.mine.slowest_sample_s(share))))

    def power_traces(self) -> dict[str, PowerPoints]:
        """See :class:`GpuGroup`."""
        return self.mine.power_traces()

    def release(self) -> None:
        """Release this process's GPUs; the other processes release theirs."""
        self.released = True
        self.mine.release()

    def _together(self, work: Callable[[], Any]) -> list[Any]:
        answer, failure = None, None
        try:
            answer = work()
        except Exception as error:  # noqa: BLE001 — the other processes wait for an answer in any case
            failure = error
        answers = self._gather((answer, failure))
        for _answer, raised in answers:
            if raised is not None:
                raise raised
        return [answer for answer, _raised in answers]
