"""The GPUs of one run as one: leased together, at the same limit, energy summed, time the maximum.

A board is reached in-process (outside Ray) or through its actor; ``LeasedGpu.call`` hides which.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.gpus.protocol import LimitRange
from zeus_ray.leases.lease import Lease
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import NAN, MeasuredBy, PowerProfile, to_json

Call = Callable[..., Any]
"""``call(method, *arguments)`` on the board's LeaseManager, here or in its actor."""


@dataclass(frozen=True)
class LeasedGpu:
    """One leased board."""

    call: Call
    lease: Lease
    actor: str = ""
    """Name of the Ray actor that keeps it, "" in this process."""

    def ask(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 — as many types as LeaseManager has methods
        """Call a LeaseManager method on this lease."""
        return self.call(method, self.lease.lease_id, *arguments)

    @classmethod
    def local(cls, keeper: LeaseManager, holder: HolderProcess, control: str, footprint: str = "") -> Self:
        """Lease a board in this process, for a run outside Ray."""

        def call(method: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401 — see ask
            return getattr(keeper, method)(*arguments, **options)

        return cls(call, keeper.acquire(holder, control=control, emissions=footprint))


class GpuGroup:
    """All boards of a run. Without any, time is wall time and everything else is NaN.

    Readings: ``energy_j`` summed over boards since the lease began, ``time_s`` the longest,
    ``power_limit_w`` the lowest limit in force.
    """

    def __init__(self, boards: Sequence[LeasedGpu], *, why_none: str = "") -> None:
        self._boards = tuple(boards)
        self._began_s = time.perf_counter()
        self.why_none = why_none

    def __len__(self) -> int:
        return len(self._boards)

    @property
    def gpu(self) -> str:
        """The kind of card ("" without one); two kinds in one run are joined by " + "."""
        return " + ".join(dict.fromkeys(board.lease.gpu for board in self._boards))

    @property
    def measured_by(self) -> MeasuredBy:
        """How energy is measured; the least exact of the boards where they differ."""
        kinds = {board.lease.measured_by for board in self._boards}
        if not kinds:
            return MeasuredBy.NONE
        return kinds.pop() if len(kinds) == 1 else MeasuredBy.POWER_INTEGRAL

    @property
    def range(self) -> LimitRange | None:
        """The limits that every board accepts; None where there is none."""
        ranges = [board.lease.range for board in self._boards]
        known = [r for r in ranges if r is not None]
        if not known or len(known) < len(ranges):
            return None
        low, high = max(r.min_w for r in known), min(r.max_w for r in known)
        return (
            LimitRange(min_w=low, max_w=high, default_w=min(r.default_w for r in known))
            if low <= high
            else None
        )

    @property
    def may_set(self) -> bool:
        """Whether every board lets us set its limit."""
        return bool(self._boards) and all(board.lease.may_set for board in self._boards)

    @property
    def why_not(self) -> str:
        """Why limits cannot be set, in words; "" where they can."""
        return next((board.lease.why_not for board in self._boards if not board.lease.may_set), self.why_none)

    @property
    def held(self) -> list[tuple[str, str]]:
        """(actor, lease id) of each board that an actor keeps: who knows what was used to the end."""
        return [(board.actor, board.lease.lease_id) for board in self._boards if board.actor]

    @property
    def virtual(self) -> bool:
        """Whether time passes on the boards only by ``train`` and ``load``."""
        return any(board.lease.virtual for board in self._boards)

    @property
    def known(self) -> tuple[tuple[Lease, str], ...]:
        """What another process may know of each board: its lease, and the actor that keeps it."""
        return tuple((board.lease, board.actor) for board in self._boards)

    @property
    def by_steps(self) -> bool:
        """Whether windows must end by counted steps: the clocks of several processes never agree."""
        return False

    def read(self) -> Reading:
        """Energy, time and limit now."""
        return self.each("read")

    def set_limit(self, limit_w: float) -> Reading:
        """Set one limit on all boards. Raises as LeaseManager.set_limit."""
        return self.each("set_limit", limit_w)

    def follow(self, profile: PowerProfile) -> None:
        """Let every board's limit follow the grid from now on; raises as LeaseManager.set_limit."""
        for board in self._boards:
            board.ask("follow", to_json(profile))

    def train(self, samples: int, batch_size: int) -> Reading:
        """Advance virtual boards by ``samples``, split over them."""
        return self.each("train", -(-samples // len(self)), max(1, batch_size // len(self)))

    def load(self, wall_s: float) -> Reading:
        """Advance virtual boards by ``wall_s`` of full load."""
        return self.each("load", wall_s)

    def time_per_sample_s(self, batch_size: int) -> float:
        """Seconds per sample of virtual boards at the limit in force."""
        return self.slowest_s(max(1, batch_size // len(self))) / len(self)

    def slowest_s(self, share: int) -> float:
        """Seconds per sample of the slowest virtual board, at ``share`` samples a step each."""
        return max((float(board.call("time_per_sample_s", share)) for board in self._boards), default=0.0)

    def timeline(self) -> list[tuple[float, float, float]]:
        """The first board's power over time: (time_s, power_w, power_limit_w)."""
        return list(self._boards[0].ask("power_trace")) if self._boards else []

    def timelines(self) -> dict[str, list[tuple[float, float, float]]]:
        """Every board's, by UUID."""
        return {board.lease.uuid: list(board.ask("power_trace")) for board in self._boards}

    def release(self) -> None:
        """Give every limit back, also when one board refuses to answer; raises the first error then."""
        errors: list[Exception] = []
        for board in self._boards:
            try:
                board.ask("release")
            except Exception as error:  # noqa: BLE001 — the other boards must be given back first
                errors.append(error)
        self._boards = ()
        if errors:
            raise errors[0]

    def each(self, method: str, *arguments: object) -> Reading:
        """Call a LeaseManager method on every board, and join the readings."""
        readings = [board.ask(method, *arguments) for board in self._boards]
        if not readings:
            return Reading(
                energy_j=NAN,
                time_s=time.perf_counter() - self._began_s,
                power_limit_w=NAN,
                shared=False,
                energy_j_err=NAN,
            )
        return joined(readings)


def joined(readings: Sequence[Reading]) -> Reading:
    """Several boards' readings as one: energy summed, time the maximum, the lowest limit."""
    return Reading(
        energy_j=math.fsum(r.energy_j for r in readings),
        time_s=max(r.time_s for r in readings),
        power_limit_w=min(r.power_limit_w for r in readings),
        shared=any(r.shared for r in readings),
        energy_j_err=math.fsum(r.energy_j_err for r in readings),
        carbon_g=NAN if any(math.isnan(r.carbon_g) for r in readings) else sum(r.carbon_g for r in readings),
        price=NAN if any(math.isnan(r.price) for r in readings) else sum(r.price for r in readings),
    )
