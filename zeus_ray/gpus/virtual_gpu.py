"""What simulated and replayed boards share: a limit, and a clock that only work advances."""

from __future__ import annotations

from abc import ABC, abstractmethod

from zeus_ray.errors import BadInput
from zeus_ray.gpus.protocol import LimitRange


class VirtualBoard(ABC):
    """A board that is arithmetic: energy is power × time, and between jobs no time passes.

    What differs is only what a sample takes and draws: the two abstract methods.
    """

    def __init__(self, *, uuid: str, name: str, limits: LimitRange, idle_w: float) -> None:
        self._uuid = uuid
        self._name = name
        self._range = limits
        self._limit_w = limits.default_w
        self._power_w = idle_w
        self._clock_s = 0.0
        self._energy_j = 0.0

    @abstractmethod
    def _sample(self, batch_size: int) -> tuple[float, float]:
        """(seconds per sample, watts) at the limit in force."""

    @abstractmethod
    def _full_load(self) -> tuple[float, float]:
        """(time against that at the maximum limit, watts) of full load at the limit in force."""

    @property
    def uuid(self) -> str:
        """What the board is known by."""
        return self._uuid

    @property
    def name(self) -> str:
        """The kind of card, and that it is not a real one."""
        return self._name

    @property
    def range(self) -> LimitRange:
        """The limits it accepts (W)."""
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
        """Advance by ``samples`` in batches of ``batch_size``. Raises BadInput."""
        each_s, power_w = self._sample(_at_least("batch size", batch_size, 1))
        self._work(_at_least("number of samples", samples, 0) * each_s, power_w)

    def load(self, wall_s: float) -> None:
        """Advance by work that takes ``wall_s`` at the maximum limit, at full load. Raises BadInput."""
        if not wall_s >= 0:
            raise BadInput(f"load of {wall_s!r} s; 0 or more are needed")
        slower, power_w = self._full_load()
        self._work(wall_s * slower, power_w)

    def close(self) -> None:  # noqa: B027 — the same for all: a driver there is none
        """There is nothing to let go of."""

    def _work(self, time_s: float, power_w: float) -> None:
        self._power_w = power_w
        self._clock_s += time_s
        self._energy_j += power_w * time_s


def _at_least(what: str, given: int, least: int) -> int:
    if not given >= least:
        raise BadInput(f"{what} is {given!r}; at least {least} is needed")
    return given
