"""Power limits over time on recorded grids: the published rule, the static limit of equal time, the oracle.

A job of fixed work trains on a card whose limit is chosen again each interval. The card's power and speed at
each limit are the published fits of :mod:`zeus_ray.gpus.simulated_power_and_time`. Grams, joules and seconds
are those of the card alone, relative to the maximum limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sweep_simulation as simulation
from sweep_simulation import Grid, HistoryView

from zeus_ray.carbon.csv_reader import read_csv
from zeus_ray.carbon.forecasts.gp_forecast import GpForecast
from zeus_ray.carbon.planning.chase import Chase, interpolate_profile
from zeus_ray.carbon.planning.width_planner import WidthRules
from zeus_ray.carbon.series import Array, Series
from zeus_ray.errors import BadInput
from zeus_ray.gpus.simulated_power_and_time import Card, power_w, time_per_sample_s, uncapped_power_w
from zeus_ray.quantity_format import HOUR_S, J_PER_KWH
from zeus_ray.records import PowerProfile

BATCH = 256
JOB_H = 12.0
WORK_H, WIDTH = 24.0, 2
ETAS = (0.24, 0.5, 0.8)
EVERY_S = 61 * HOUR_S


@dataclass(frozen=True)
class Machine:
    """A card that trains: limits (W), power there (W), and speed relative to that at the maximum limit."""

    name: str
    profile: PowerProfile
    limits_w: Array
    power_w: Array
    speed: Array

    @classmethod
    def of(cls, card: Card) -> Machine:
        """The card's fits at a batch size that keeps it busy, at every 5 W, then at every tenth of a watt."""
        uncapped_w, limits = uncapped_power_w(card, BATCH), card.range
        points = tuple(
            (w, power_w(w, uncapped_w), time_per_sample_s(card, BATCH, w))
            for w in np.arange(limits.min_w, limits.max_w + 1, 5.0).tolist()
        )
        profile = PowerProfile(batch_size=BATCH, gpu=card.name, max_power_w=limits.max_w, points=points)
        limits_w, drawn_w, speed = interpolate_profile(profile, 0.1)
        return cls(card.name, profile, limits_w, drawn_w, speed / speed[-1])

    def at(self, limit_w: float) -> int:
        """Index of a limit."""
        return int(np.argmin(np.abs(self.limits_w - limit_w)))

    @property
    def cheapest(self) -> int:
        """Index of the limit of least energy."""
        return int(np.argmin(self.power_w / self.speed))


@dataclass(frozen=True)
class Used:
    """Emissions, energy and time of a job."""

    grams: float
    energy_j: float
    time_s: float


Control = Callable[[float], int]
"""Index of the limit for the interval that begins at a time."""


def run(machine: Machine, truth: Series, start_s: float, control: Control, work_h: float = JOB_H) -> Used:
    """Train for the work of ``work_h`` hours at full speed."""
    remaining_s, now_s, grams, energy_j = work_h * HOUR_S, start_s, 0.0, 0.0
    while remaining_s > 1e-6:
        i = control(now_s)
        step_s = min(truth.step_s, remaining_s / machine.speed[i])
        joules = machine.power_w[i] * step_s
        energy_j += joules
        grams += joules / J_PER_KWH * truth.at(now_s)
        remaining_s -= machine.speed[i] * step_s
        now_s += step_s
    return Used(grams, energy_j, now_s - start_s)


def static(machine: Machine, truth: Series, start_s: float, time_s: float) -> Used:
    """One limit all the time, such that the job takes ``time_s``."""
    index = int(np.argmin(np.abs(machine.speed - JOB_H * HOUR_S / time_s)))
    return run(machine, truth, start_s, lambda _now_s: index)


def oracle(machine: Machine, truth: Series, start_s: float, time_s: float) -> Used:
    """The least carbon in ``time_s``, the future known: in each interval the least of grams − λ · work."""
    count = int(np.ceil(time_s / truth.step_s - 1e-9))
    known = truth.between(start_s, start_s + count * truth.step_s).values
    widths_s = np.full(count, truth.step_s)
    widths_s[-1] = time_s - (count - 1) * truth.step_s
    grams_per_s = np.outer(known, machine.power_w) / J_PER_KWH
    low, high = 0.0, float(grams_per_s.max()) * 1e3
    for _ in range(60):
        price = (low + high) / 2
        chosen = np.argmin(grams_per_s - price * machine.speed, axis=1)
        low, high = (price, high) if machine.speed[chosen] @ widths_s < JOB_H * HOUR_S else (low, price)
    # At the right price several limits are equally good: some of the time one, some of the time the other.
    slow, fast = (np.argmin(grams_per_s - price * machine.speed, axis=1) for price in (low, high))
    work_s = [float(machine.speed[chosen] @ widths_s) for chosen in (slow, fast)]
    share = 0.0 if work_s[0] == work_s[1] else (work_s[1] - JOB_H * HOUR_S) / (work_s[1] - work_s[0])
    rows = np.arange(count)
    return Used(
        float((share * grams_per_s[rows, slow] + (1 - share) * grams_per_s[rows, fast]) @ widths_s),
        float((share * machine.power_w[slow] + (1 - share) * machine.power_w[fast]) @ widths_s),
        time_s,
    )


def chasing(machine: Machine, grid: Grid, rule: Chase, forecast: Series | None) -> Control:
    """The published rule; ``forecast``: the file's own; None: persistence."""
    highest = float(np.nanmax(grid.truth.values))

    def control(now_s: float) -> int:
        expected = forecast.at(now_s) if forecast is not None else grid.truth.at(now_s - grid.truth.step_s)
        return machine.at(rule.limit_w(machine.profile, expected, highest))

    return control


def file_forecast(path: Path) -> Series | None:
    """A forecast in the file itself: the column ``value`` beside ``hist``, as in Chase's own trace."""
    try:
        read_csv(path, column="hist")
        raw = read_csv(path, column="value")
    except BadInput:
        return None
    return raw.without_gaps()


def tables(files: Sequence[Path], grids: Sequence[Grid], cards: Sequence[Card]) -> list[str]:
    """Power over time on every grid and card, then both together."""
    lines = ["", "## Power over time", ""]
    lines += [f"A job of {JOB_H:g} h at full speed; sums over all starts, against the maximum limit.", ""]
    lines += [
        "| grid | card | η | limits chosen | time | energy | carbon | static, same time | oracle, same time |"
    ]
    lines += ["|---" * 9 + "|"]
    for path, grid in zip(files, grids, strict=True):
        for card in cards:
            lines += [row(grid, Machine.of(card), eta, file_forecast(path)) for eta in ETAS]
    return lines + together(grids, Machine.of(cards[0]))


def row(grid: Grid, machine: Machine, eta: float, forecast: Series | None) -> str:
    """One rule on one grid and card."""
    control = chasing(machine, grid, Chase(eta=eta, every_s=grid.truth.step_s), forecast)
    chosen: set[float] = set()

    def noted(now_s: float) -> int:
        index = control(now_s)
        chosen.add(round(float(machine.limits_w[index])))
        return index

    slowest_h = JOB_H / float(machine.speed[0]) + 1
    starts = grid.starts(slowest_h * HOUR_S, EVERY_S)
    full = [run(machine, grid.truth, s, lambda _now_s: len(machine.speed) - 1) for s in starts]
    chased = [run(machine, grid.truth, s, noted) for s in starts]
    fixed = [static(machine, grid.truth, s, c.time_s) for s, c in zip(starts, chased, strict=True)]
    best = [oracle(machine, grid.truth, s, c.time_s) for s, c in zip(starts, chased, strict=True)]
    limits = f"{min(chosen):g} W" if len(chosen) == 1 else f"{min(chosen):g} to {max(chosen):g} W"
    cells = [f"{change(chased, full, what)}" for what in ("time_s", "energy_j", "grams")] + [
        change(fixed, full, "grams"),
        change(best, full, "grams"),
    ]
    return f"| {grid.name} | {machine.name} | {eta:g} | {limits} | " + " | ".join(cells) + " |"


def change(a: Sequence[Used], b: Sequence[Used], what: str) -> str:
    """Change of a sum, in per cent."""
    return f"{100 * (sum(getattr(x, what) for x in a) / sum(getattr(x, what) for x in b) - 1):+.2f} %"


# --- both together -----------------------------------------------------------------------------------


def together(grids: Sequence[Grid], machine: Machine) -> list[str]:
    """The limit of least energy and planned hours together, against starting at once at full power."""
    best, last = machine.cheapest, len(machine.speed) - 1
    watts = f"{machine.limits_w[best]:.0f} W"
    energy = machine.power_w[best] / machine.power_w[last] / machine.speed[best] - 1
    time = 1 / machine.speed[best] - 1
    lines = ["", "## Both together", ""]
    lines += [
        f"A sweep of {WORK_H:g} h (at full power), up to {WIDTH} at a time, on {machine.name}; carbon",
        "against starting at once at full power.",
        f"The limit of least energy is {watts}: {100 * energy:+.1f} % energy, {100 * time:+.1f} % time.",
        "",
        f"| grid | deadline | {watts} at once | hours alone | both |",
        "|---|---|---|---|---|",
    ]
    for grid in grids:
        for times in (1.0, 1.5, 2.0, 3.0):
            starts = grid.starts(times * WORK_H * HOUR_S, EVERY_S)
            if starts:
                sums = np.sum([compared(grid, machine, s, times) for s in starts], axis=0)
                cells = " | ".join(f"{100 * (x / sums[0] - 1):+.1f} %" for x in sums[1:])
                lines.append(f"| {grid.name} | {times:g}× | {cells} |")
    return lines


def compared(grid: Grid, machine: Machine, start_s: float, times: float) -> list[float]:
    """Grams: at once at full power, the limit alone, the hours alone, both."""
    rules = WidthRules(
        deadline_s=start_s + times * WORK_H * HOUR_S, max_trials=WIDTH, replan_every_s=grid.truth.step_s
    )
    ours = simulation.planned(HistoryView(grid.truth, GpForecast(), uncertain=True))
    last, best = len(machine.speed) - 1, machine.cheapest
    found = []
    for index, policy in ((last, simulation.at_once), (best, simulation.at_once), (last, ours), (best, ours)):
        slowed_h = WORK_H / float(machine.speed[index])
        grams, _end_s = simulation.run_fluid(grid.truth, start_s, slowed_h, rules, policy)
        found.append(grams * float(machine.power_w[index]) / 1000)
    return found
