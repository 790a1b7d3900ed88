"""A job that recurs, without Ray: ask, probe, train epoch by epoch, tell; and what that cost.

A recurrence runs until the target is reached, at most 20 tries; its cost is the cost of all tries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, cast

import numpy as np

from zeus_ray.objective import cost
from zeus_ray.records import (
    Knobs,
    Measurement,
    Outcome,
    PowerProfile,
    ProfilePoint,
    Progress,
    StopReason,
    Target,
)

TRIES = 20
WINDOW_S = 5.0
LAST_RUNS = 5


@dataclass(frozen=True)
class Path:
    """One training run: epoch of the target (inf: never), and (epoch, metric) where it got better."""

    reached_at: float
    curve: tuple[tuple[float, float], ...]

    def metric(self, epoch: int) -> float:
        """The best metric shown by ``epoch``; NaN before the first."""
        shown = [metric for at, metric in self.curve if at <= epoch]
        return shown[-1] if shown else math.nan


def steady(_recurrence: int, _batch_size: int) -> float:
    """No drift."""
    return 1.0


@dataclass(frozen=True)
class Workload:
    """A training job on one kind of GPU. ``points[b][limit_w]``: (average_power_w, time_per_epoch_s)."""

    name: str
    gpu: str
    target: Target
    max_epochs: int
    default_batch_size: int
    points: dict[int, dict[float, tuple[float, float]]]
    paths: dict[int, list[Path]]
    drift: Callable[[int, int], float] = steady
    """Factor on the epochs that a run needs, by recurrence and batch size."""

    @cached_property
    def limits_w(self) -> list[float]:
        """Power limits (W), high to low."""
        return sorted(self.points[self.default_batch_size], reverse=True)

    def epoch_cost(self, batch_size: int, limit_w: float, eta: float) -> float:
        """Cost (J) of one epoch."""
        power_w, time_s = self.points[batch_size][limit_w]
        return cost(power_w * time_s, time_s, eta=eta, max_power_w=self.limits_w[0])

    def mean_epochs(self, batch_size: int, recurrence: int = 0) -> float:
        """Mean epochs to the target, failed runs (max_epochs each) included; inf where none reaches it."""
        factor = self.drift(recurrence, batch_size)
        needs = [path.reached_at * factor for path in self.paths[batch_size]]
        reached = [epochs for epochs in needs if epochs <= self.max_epochs]
        wasted = (len(needs) - len(reached)) * self.max_epochs
        return (sum(reached) + wasted) / len(reached) if reached else math.inf

    def mean_cost(self, batch_size: int, limit_w: float, eta: float, recurrence: int = 0) -> float:
        """Mean cost (J) of knobs, over recorded paths."""
        return self.mean_epochs(batch_size, recurrence) * self.epoch_cost(batch_size, limit_w, eta)

    def optimum(self, eta: float, recurrence: int = 0) -> float:
        """The lowest mean cost (J) of any knobs."""
        return min(self.mean_cost(b, w, eta, recurrence) for b in self.points for w in self.points[b])


class Chooser(Protocol):
    """What :class:`zeus_ray.search.Search` is to this loop; simple strategies look the same."""

    def ask(self) -> Knobs | None:
        """The next run."""

    def observe_profile(self, profile: PowerProfile) -> None:
        """What the run's probes measured."""

    def power_limit_w(self, batch_size: int) -> float | None:
        """The limit (W) to run on at, after the probes."""

    def should_stop(self, progress: Progress) -> StopReason | None:
        """After the probes, and after each epoch."""

    def tell(self, outcome: Outcome) -> None:
        """How the run ended."""


@dataclass
class Ledger:
    """Cost (J), optimum (J) and final knobs of each recurrence."""

    costs: list[float] = field(default_factory=list)
    optima: list[float] = field(default_factory=list)
    quality: list[float] = field(default_factory=list)
    """Mean cost of the knobs chosen, over the optimum's."""
    trials: list[Tried] = field(default_factory=list)

    def regret(self, after: int) -> float:
        """Σ(cost / optimum) − n after n recurrences."""
        ratios = np.asarray(self.costs[:after]) / np.asarray(self.optima[:after])
        return float(ratios.sum() - after)

    def last(self) -> float:
        """How good the knobs of the last runs are: 1 is the optimum."""
        return float(np.mean(self.quality[-LAST_RUNS:]))


@dataclass
class Meter:
    """Joules and seconds of one try."""

    energy_j: float = 0.0
    time_s: float = 0.0

    def train(self, power_w: float, time_s: float) -> None:
        """Draw ``power_w`` for ``time_s``."""
        self.energy_j += power_w * time_s
        self.time_s += time_s

    def read(self) -> Measurement:
        """So far."""
        return Measurement(energy_j=self.energy_j, time_s=self.time_s)


def probe(work: Workload, knobs: Knobs, meter: Meter) -> tuple[PowerProfile, float]:
    """Each limit for min(5 s, one epoch / number of limits): the profile, and the epochs trained."""
    limits = work.limits_w if knobs.probe_limits_w is None else knobs.probe_limits_w
    points, trained = [], 0.0
    for limit_w in limits:
        power_w, epoch_s = work.points[knobs.batch_size][limit_w]
        window_s = min(WINDOW_S, epoch_s / len(limits))
        meter.train(power_w, window_s)
        trained += window_s / epoch_s
        points.append(ProfilePoint(limit_w, power_w, epoch_s))
    profile = PowerProfile(
        batch_size=knobs.batch_size, gpu=work.gpu, max_power_w=work.limits_w[0], points=tuple(points)
    )
    return profile, trained


Pieces = Generator[float, None, "Tried"]


@dataclass(frozen=True)
class Tried:
    """How one try ended."""

    batch_size: int
    limit_w: float
    epochs: float
    reached: bool
    used: Measurement


def trial(work: Workload, chooser: Chooser, knobs: Knobs, path: Path, drift: float = 1.0) -> Pieces:
    """One try, piece by piece: yields its seconds so far whenever there is something to decide."""
    size, meter, trained = knobs.batch_size, Meter(), 0.0
    if knobs.probe_limits_w is None or knobs.probe_limits_w:
        profile, trained = probe(work, knobs, meter)
        chooser.observe_profile(profile)
    limit_w = chooser.power_limit_w(size) if knobs.power_limit_w is None else knobs.power_limit_w
    limit_w = work.limits_w[0] if limit_w is None else limit_w
    power_w, epoch_s = work.points[size][limit_w]
    epoch, metric, reached = 0, math.nan, False
    while True:
        yield meter.time_s
        seen = max(trained, float(epoch))
        progress = Progress(knobs=knobs, epoch=seen, metric=metric, measurement=meter.read(), gpu=work.gpu)
        stop = chooser.should_stop(progress)
        if stop is not None:
            break
        meter.train(power_w, epoch_s * (1 - (trained if epoch == 0 else 0.0)))
        epoch += 1
        reached = epoch >= path.reached_at * drift
        metric = work.target.value if reached else path.metric(int(epoch / drift))
    outcome = Outcome(
        knobs=knobs,
        reached=reached,
        epochs=seen,
        metric=metric,
        measurement=meter.read(),
        stop=stop,
        gpu=work.gpu,
    )
    chooser.tell(outcome)
    return Tried(size, limit_w, seen, reached, meter.read())


def drawn(work: Workload, size: int, rng: np.random.Generator) -> Path:
    """One of the recorded runs of a batch size."""
    return work.paths[size][int(rng.integers(len(work.paths[size])))]


def attempt(work: Workload, chooser: Chooser, rng: np.random.Generator, recurrence: int) -> Tried:
    """One try, from its start to its end."""
    knobs = chooser.ask()
    if knobs is None:
        raise RuntimeError("a recurring search has nothing to ask")
    size = knobs.batch_size
    pieces = trial(work, chooser, knobs, drawn(work, size, rng), work.drift(recurrence, size))
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return cast("Tried", end.value)


def recur(work: Workload, chooser: Chooser, *, recurrences: int, eta: float, seed: int) -> Ledger:
    """Run the job ``recurrences`` times."""
    rng = np.random.default_rng((seed, 1))
    ledger = Ledger()
    for recurrence in range(recurrences):
        spent = 0.0
        for _ in range(TRIES):
            tried = attempt(work, chooser, rng, recurrence)
            ledger.trials.append(tried)
            spent += cost(tried.used.energy_j, tried.used.time_s, eta=eta, max_power_w=work.limits_w[0])
            if tried.reached:
                break
        best = work.optimum(eta, recurrence)
        chosen = work.mean_cost(tried.batch_size, tried.limit_w, eta, recurrence)
        ledger.costs.append(spent)
        ledger.optima.append(best)
        ledger.quality.append(chosen / best)
    return ledger
