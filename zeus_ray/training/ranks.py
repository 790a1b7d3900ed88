"""The boards of a job of several processes as one: every process reads and sets its own, and hears of all.

Each process runs the same code on the same numbers, so all come to the same limit, the same window
and the same stop at the same step, and nobody has to be asked. Only clocks differ between processes:
where these boards are used, windows are counted in steps (see :class:`zeus_ray.training.run_clock.RunClock`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.records import PowerProfile
from zeus_ray.training.gpu_group import GpuGroup, LeasedGpu, joined

Gather = Callable[[Any], list[Any]]
"""Give a small value, get every process's, in the order of their ranks. Waits until all have given."""


class DistributedGpuGroup(GpuGroup):
    """All boards of a job. Every method that reads or sets must be called by every process in turn.

    Args:
        mine: the boards this process has leased, and gives back.
        gather: how the processes hear of one another.

    What goes wrong in one process is raised in all of them.
    """

    def __init__(self, mine: GpuGroup, gather: Gather) -> None:
        self._mine = mine
        self._gather = gather
        everyones = gather((mine.known, mine.why_none))
        super().__init__(
            [LeasedGpu(_not_mine, lease, actor) for known, _why in everyones for lease, actor in known],
            why_none=next((why for _known, why in everyones if why), ""),
        )

    @property
    def by_steps(self) -> bool:
        """See :class:`GpuGroup`."""
        return True

    def each(self, method: str, *arguments: object) -> Reading:
        """Every process calls its own boards, all at once."""
        return joined(self._together(lambda: self._mine.each(method, *arguments)))

    def follow(self, profile: PowerProfile) -> None:
        """Every process lets its own boards follow."""
        self._mine.follow(profile)

    def slowest_s(self, share: int) -> float:
        """See :class:`GpuGroup`."""
        return float(max(self._together(lambda: self._mine.slowest_s(share))))

    def timeline(self) -> list[tuple[float, float, float]]:
        """The power of this process's first board."""
        return self._mine.timeline()

    def timelines(self) -> dict[str, list[tuple[float, float, float]]]:
        """The power of this process's boards, by UUID."""
        return self._mine.timelines()

    def release(self) -> None:
        """Give back this process's boards; the others give back theirs, or their end does."""
        self._mine.release()

    def _together(self, work: Callable[[], Any]) -> list[Any]:
        answer, failure = None, None
        try:
            answer = work()
        except Exception as error:  # noqa: BLE001 — the others wait for an answer, whatever it is
            failure = error
        answers = self._gather((answer, failure))
        for _answer, raised in answers:
            if raised is not None:
                raise raised
        return [answer for answer, _raised in answers]


def _not_mine(*_arguments: object, **_options: object) -> None:
    raise AssertionError("a board of another process was called")
