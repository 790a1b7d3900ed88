"""The one protocol every board satisfies: NVML's, zeusd's, simulated, replayed.

Watts, joules and seconds only: other units end in the file that talks to the driver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from zeus_ray.errors import BadInput
from zeus_ray.records import MeasuredBy


@dataclass(frozen=True, kw_only=True)
class LimitRange:
    """The power limits a board accepts (W), and the one it is delivered with."""

    min_w: float
    max_w: float
    default_w: float

    def check(self, limit_w: float) -> float:
        """Return ``limit_w``, or raise BadInput naming the range."""
        if not self.min_w <= limit_w <= self.max_w:
            raise BadInput(
                f"power limit {limit_w:g} W is outside the board's range {self.min_w:g} to {self.max_w:g} W"
            )
        return limit_w

    def steps(self, step_w: float = 25.0) -> tuple[float, ...]:
        """The limits worth profiling, high to low: the maximum, then every ``step_w`` down to the minimum."""
        count = int((self.max_w - self.min_w) / step_w)
        limits = [self.max_w - i * step_w for i in range(count + 1)]
        return tuple(limits if limits[-1] == self.min_w else [*limits, self.min_w])


@runtime_checkable
class Gpu(Protocol):
    """One physical board.

    Every method may raise DeviceLost. ``energy_j`` never falls and has an arbitrary origin;
    ``now_s`` is the clock its energy belongs to: monotonic wall time on hardware, the board's own
    clock in simulation. Energy and time are only meaningful as differences.
    """

    @property
    def uuid(self) -> str:
        """What the board is known by everywhere, such as ``GPU-8f3c…``."""

    @property
    def name(self) -> str:
        """The kind of card, such as ``NVIDIA A100-SXM4-40GB``: profiles carry over between equal names."""

    @property
    def measured_by(self) -> MeasuredBy:
        """Where ``energy_j`` comes from."""

    @property
    def range(self) -> LimitRange:
        """The limits it accepts."""

    def power_limit_w(self) -> float:
        """The limit that is set: what must be given back."""

    def enforced_limit_w(self) -> float:
        """The limit in force, which may be lower than the one set."""

    def set_power_limit_w(self, limit_w: float) -> None:
        """Set a limit. Raises BadInput (range), NoPermission, NotSupported."""

    def power_w(self) -> float:
        """Power drawn now, as the board averages it."""

    def energy_j(self) -> float:
        """Energy drawn since an arbitrary origin; raises NotSupported where there is no counter."""

    def now_s(self) -> float:
        """Seconds on the clock that ``energy_j`` belongs to."""

    def close(self) -> None:
        """Let go of the driver. Never changes a setting."""


@runtime_checkable
class VirtualGpu(Gpu, Protocol):
    """A board whose time passes only when work is put on it."""

    def time_per_sample_s(self, batch_size: int) -> float:
        """Seconds per sample at the limit in force."""

    def train(self, samples: int, batch_size: int) -> None:
        """Advance clock and energy by ``samples`` in batches of ``batch_size``."""

    def load(self, wall_s: float) -> None:
        """Advance by work that takes ``wall_s`` at the maximum limit, at full load."""


@runtime_checkable
class Persistent(Protocol):
    """A board whose driver may leave, and forget its limit, when nobody uses it: a real one."""

    def persistent(self) -> bool:
        """Whether the driver stays."""
