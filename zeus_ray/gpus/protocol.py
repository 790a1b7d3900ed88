"""What every GPU and every source of GPUs offers: NVML's, zeusd's, simulated, replayed.

Watts, joules and seconds only: other units end in the file that talks to the driver.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from zeus_ray.errors import BadInput
from zeus_ray.records import MeasuredBy


@dataclass(frozen=True, kw_only=True)
class LimitRange:
    """The power limits a GPU accepts (W), and its default limit."""

    min_w: float
    max_w: float
    default_w: float

    def check(self, limit_w: float) -> float:
        """Return ``limit_w``.

        Raises:
            BadInput: it is outside the range.
        """
        if not self.min_w <= limit_w <= self.max_w:
            raise BadInput(
                f"power limit {limit_w:g} W is outside the GPU's range {self.min_w:g} to {self.max_w:g} W"
            )
        return limit_w

    def steps(self, step_w: float = 25.0) -> tuple[float, ...]:
        """The limits worth profiling, high to low: the maximum, then every ``step_w`` down to the minimum."""
        count = int((self.max_w - self.min_w) / step_w)
        limits = [self.max_w - i * step_w for i in range(count + 1)]
        return tuple(limits if limits[-1] == self.min_w else [*limits, self.min_w])


@runtime_checkable
class Gpu(Protocol):
    """One GPU.

    Every method may raise DeviceLost. ``energy_j`` never falls and has an arbitrary origin;
    ``now_s`` is the clock its energy belongs to: monotonic wall time on hardware, the GPU's own
    clock in simulation. Energy and time are only meaningful as differences.
    """

    @property
    def uuid(self) -> str:
        """Identifies the GPU everywhere, such as ``GPU-8f3c…``."""

    @property
    def name(self) -> str:
        """The product name, such as ``NVIDIA A100-SXM4-40GB``: GPUs of equal names share their profiles."""

    @property
    def measured_by(self) -> MeasuredBy:
        """Where ``energy_j`` comes from."""

    @property
    def range(self) -> LimitRange:
        """The power limits it accepts."""

    def power_limit_w(self) -> float:
        """The limit that is set."""

    def enforced_limit_w(self) -> float:
        """The limit in force, which may be lower than the one that is set."""

    def set_power_limit_w(self, limit_w: float) -> None:
        """Set a limit.

        Raises:
            BadInput: outside the range; nothing was written.
            NoPermission: this user may not set limits.
            NotSupported: this GPU takes no limit.
        """

    def power_w(self) -> float:
        """Power drawn now, as the GPU averages it."""

    def energy_j(self) -> float:
        """Energy drawn since an arbitrary origin.

        Raises:
            NotSupported: the GPU has no energy counter.
        """

    def now_s(self) -> float:
        """Seconds on the clock that ``energy_j`` belongs to."""

    def close(self) -> None:
        """Close the connection to the driver. Never changes a setting."""


@runtime_checkable
class PhysicalGpu(Gpu, Protocol):
    """A GPU that outlives this process, with its limit: what restoring it and ``doctor`` need."""

    @property
    def source(self) -> str:
        """The value of ``ZEUS_RAY_GPU`` with which another process can open it."""

    @property
    def partitioned(self) -> bool:
        """Whether it is cut into partitions (MIG), which share one power limit."""

    @property
    def limit_setter(self) -> str:
        """What sets its limit, such as "NVML" or "zeusd"."""

    def persistent(self) -> bool:
        """Whether the driver stays loaded, and keeps the limit, while no process uses the GPU."""


class GpuSource(ABC):
    """The GPUs that one value of ``ZEUS_RAY_GPU`` names: those of a vendor's driver, or of a model.

    A new source is one file with a subclass of this, and one line in :mod:`zeus_ray.gpus.registry`. Its
    constructor takes the options of ``ZEUS_RAY_GPU``, the text after the first colon, and raises BadInput
    where they are wrong.
    """

    virtual = False
    """Whether the GPUs exist in this program alone: a :class:`~zeus_ray.gpus.virtual_gpu_base.VirtualGpu`."""
    visible_variable = ""
    """Environment variable that lists the GPUs a process may use; "" where there is none."""

    @abstractmethod
    def count(self) -> int:
        """How many GPUs the driver lists, those that do not answer among them.

        Raises:
            NoDevice: there is no driver here.
        """

    @abstractmethod
    def uuid(self, index: int) -> str:
        """UUID of the GPU with the driver's ``index``, from 0."""

    @abstractmethod
    def open(self, uuid: str) -> Gpu:
        """One GPU.

        Raises:
            NoDevice: there is no such GPU here.
            DeviceLost: it does not answer.
        """

    @abstractmethod
    def driver_version(self) -> str:
        """The driver's version, for ``doctor``.

        Raises:
            NoDevice: there is no driver here.
        """

    def compute_order(self, uuids: Sequence[str]) -> list[str]:
        """``uuids`` in the order in which frameworks number them, where that is not the driver's."""
        return list(uuids)

    def parent_uuid(self, partition: str) -> str:  # noqa: ARG002 — for those that have partitions
        """UUID of the GPU that the named partition belongs to; "" if it is none of this source."""
        return ""
