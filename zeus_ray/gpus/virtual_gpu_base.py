"""What simulated and replayed GPUs share: a limit, a clock that only work advances, and their source."""

from __future__ import annotations

from abc import ABC, abstractmethod

from zeus_ray.errors import BadInput, NoDevice, NotSupported
from zeus_ray.gpus.protocol import Gpu, GpuSource, LimitRange
from zeus_ray.records import MeasuredBy

VIRTUAL_GPUS = 8
"""How many virtual GPUs a machine lists outside Ray: as many as a large server has."""


class VirtualGpu(ABC):
    """A :class:`Gpu` that is arithmetic: energy is power × time, and time passes only with work.

    A subclass says what a sample takes and draws: the abstract methods.
    """

    def __init__(self, *, uuid: str, name: str, limits: LimitRange, idle_w: float) -> None:
        self._uuid = uuid
        self._name = name
        self._range = limits
        self._limit_w = limits.default_w
        self._power_w = idle_w
        self._clock_s = 0.0
        self._energy_j = 0.0

    @property
    @abstractmethod
    def measured_by(self) -> MeasuredBy:
        """What its energy comes from: a simulation or a recording."""

    @abstractmethod
    def _sample(self, batch_size: int) -> tuple[float, float]:
        """(seconds per sample, watts) at the limit in force."""

    @abstractmethod
    def _full_load(self) -> tuple[float, float]:
        """(time as a multiple of that at the maximum limit, watts) of full load at the limit in force."""

    @property
    def uuid(self) -> str:
        """Identifies the GPU everywhere."""
        return self._uuid

    @property
    def name(self) -> str:
        """The product name, which says that the GPU is not a real one."""
        return self._name

    @property
    def range(self) -> LimitRange:
        """The power limits it accepts."""
        return self._range

    def power_limit_w(self) -> float:
        """The limit that is set."""
        return self._limit_w

    def enforced_limit_w(self) -> float:
        """The limit in force: the one that is set."""
        return self._limit_w

    def set_power_limit_w(self, limit_w: float) -> None:
        """Set a limit. Raises BadInput (range)."""
        self._limit_w = self._range.check(limit_w)

    def power_w(self) -> float:
        """Power that the last work drew; idle power before any."""
        return self._power_w

    def energy_j(self) -> float:
        """Energy of all work so far."""
        return self._energy_j

    def now_s(self) -> float:
        """Seconds of all work so far."""
        return self._clock_s

    def time_per_sample_s(self, batch_size: int) -> float:
        """Seconds per sample at the limit in force. Raises BadInput (batch size)."""
        return self._sample(_at_least("batch size", batch_size, 1))[0]

    def train(self, samples: int, batch_size: int) -> None:
        """Advance clock and energy by ``samples`` in batches of ``batch_size``. Raises BadInput."""
        sample_s, power_w = self._sample(_at_least("batch size", batch_size, 1))
        self._work(_at_least("number of samples", samples, 0) * sample_s, power_w)

    def load(self, wall_s: float) -> None:
        """Advance by work that takes ``wall_s`` at the maximum limit, at full load. Raises BadInput."""
        if not wall_s >= 0:
            raise BadInput(f"load of {wall_s!r} s; 0 or more are needed")
        slowdown, power_w = self._full_load()
        self._work(wall_s * slowdown, power_w)

    def close(self) -> None:  # noqa: B027 — the same for all virtual GPUs
        """Does nothing: there is no driver."""

    def _work(self, time_s: float, power_w: float) -> None:
        self._power_w = power_w
        self._clock_s += time_s
        self._energy_j += power_w * time_s


class VirtualSource(GpuSource):
    """Any number of equal virtual GPUs; ``PREFIX-0``, ``PREFIX-1``, … are their UUIDs."""

    virtual = True

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    @abstractmethod
    def make(self, index: int) -> VirtualGpu:
        """The GPU with this index, whose UUID is :meth:`uuid`. Raises BadInput."""

    def count(self) -> int:
        """How many GPUs a machine lists; :meth:`open` makes any other number of them, too."""
        return VIRTUAL_GPUS

    def uuid(self, index: int) -> str:
        """UUID of the GPU with this index."""
        return f"{self._prefix}-{index}"

    def open(self, uuid: str) -> VirtualGpu:
        """A new GPU, with its clock at 0. Raises NoDevice for a UUID of another source, BadInput."""
        prefix, _, index = uuid.rpartition("-")
        if prefix != self._prefix or not index.isdecimal():
            raise NoDevice(
                f"no virtual GPU {uuid!r}; those of this source are {self.uuid(0)}, {self.uuid(1)}, …"
            )
        return self.make(int(index))

    def driver_version(self) -> str:
        """No driver is needed."""
        return "none needed"


def as_virtual(gpu: Gpu) -> VirtualGpu:
    """``gpu``, which must be virtual.

    Raises:
        NotSupported: it is a real GPU, whose time passes by itself.
    """
    if not isinstance(gpu, VirtualGpu):
        raise NotSupported(f"{gpu.uuid} is a real GPU: its time passes by itself")
    return gpu


def _at_least(what: str, given: int, least: int) -> int:
    if not given >= least:
        raise BadInput(f"{what} is {given!r}; at least {least} is needed")
    return given
