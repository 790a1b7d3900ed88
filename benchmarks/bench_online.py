"""One long run: what finding its power limit costs, over holding the best limit from the first step on.

    python benchmarks/bench_online.py --traces DIR --curves DIR [--part tuned|held-out] [--quick]
        [--only TITLE] [--lengths '10 min' '1 h']

DIR: ``summary_power_{gpu}.csv`` of the Zeus NSDI'23 traces, and ``power_{card}.csv``. Each recorded
(workload, batch size) is one run. The GPU has inertia: a limit takes effect after 0.3 s, the energy
counter ticks every 0.1 s and lags by 0.5 s. Steps scatter by 3 %, drift, and are held up by stragglers,
garbage collection, checkpoints and evaluations that nothing announces; the first two compile (10 to 30 s).
All controls see the same steps. Constants were chosen on the part "tuned" (CRC-32 of the workload's name
is even); the part "held-out" is reported.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from zeus_ray.records.serialization import to_json
from zeus_ray.training.online_limit.controller_settings_and_state import OnlineSettings
from zeus_ray.training.online_limit.online_controller import OnlineController
from zeus_ray.training.online_limit.steps_to_rank_window import RankWindow, StepRecorder

EFFECT_S, LAG_S, TICK_S = 0.3, 0.5, 0.1
MINUTE, HOUR = 60.0, 3600.0
LENGTHS_S = {"10 min": 600.0, "1 h": HOUR, "6 h": 6 * HOUR, "24 h": 24 * HOUR}
RANKS = (1, 2, 8, 1)
"""The ranks of the runs of a table, in turn."""
FLOAT = np.ndarray


@dataclass(frozen=True)
class Load:
    """A recorded workload: limits (W, highest first), seconds per epoch and W at each."""

    name: str
    limits_w: tuple[float, ...]
    time_s: FLOAT
    power_w: FLOAT

    @property
    def tuned(self) -> bool:
        """Whether it belongs to the part on which constants were chosen."""
        return zlib.crc32(self.name.encode()) % 2 == 0


def read_loads(folder: Path, pattern: str) -> list[Load]:
    """Every (workload, batch size) in the power files of a folder."""
    loads = []
    for file in sorted(folder.glob(pattern)):
        rows: dict[tuple[str, ...], list[tuple[float, float, float]]] = defaultdict(list)
        with file.open(newline="") as lines:
            for row in csv.DictReader(lines):
                key = [
                    v for k, v in row.items() if k not in {"power_limit", "time_per_epoch", "average_power"}
                ]
                rows[(file.stem, *key)].append(
                    (float(row["power_limit"]), float(row["time_per_epoch"]), float(row["average_power"]))
                )
        for key, points in rows.items():
            limits, times, powers = zip(*sorted(points, reverse=True), strict=True)
            if len(limits) > 3:
                loads.append(Load("/".join(key), limits, np.array(times), np.array(powers)))
    return loads


@dataclass(frozen=True)
class Script:
    """What happens in one run, step by step, whatever limit is held: the same for all controls."""

    limits_w: tuple[float, ...]
    time_s: FLOAT
    """Seconds per step without noise: (load, limit)."""
    power_w: FLOAT
    """W per GPU: (load, limit)."""
    load: FLOAT
    """Which load each step belongs to."""
    factor: FLOAT
    """Noise and stragglers: each step takes this many times ``time_s``."""
    extra_s: FLOAT
    """Seconds that each step takes besides, at ``extra_w``."""
    extra_w: FLOAT
    ranks: int

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return len(self.factor)


def write_script(
    loads: Sequence[Load], length_s: float, ranks: int, seed: int, *, objective: Objective
) -> Script:
    """``loads``: one after another, each for an equal number of steps."""
    rng = np.random.default_rng(seed)
    step_s = math.exp(rng.uniform(math.log(0.1), math.log(1.5)))
    scale = [
        step_s * (1.0 if i == 0 else rng.uniform(0.7, 1.5)) / load.time_s[0] for i, load in enumerate(loads)
    ]
    times = np.array([s * load.time_s for s, load in zip(scale, loads, strict=True)])
    powers = np.array([load.power_w for load in loads])
    best = [objective.best(times[i], powers[i], loads[0].limits_w) for i in range(len(loads))]
    mean_s = float(np.mean([times[i, k] for i, k in enumerate(best)]))
    n = max(40, int(length_s / mean_s / 1.06))
    which = np.minimum(np.arange(n) * len(loads) // n, len(loads) - 1)
    uniform = rng.random(n) ** (1 / ranks)  # the slowest of the ranks
    grid = np.linspace(1e-6, 1 - 1e-6, 4001)
    normal = np.interp(uniform, grid, [NormalDist().inv_cdf(g) for g in grid])
    drift_steps = max(2, int(60 / mean_s))
    knots = rng.normal(0, 0.004, n // drift_steps + 2)
    drift = np.interp(np.arange(n) / drift_steps, np.arange(len(knots)), knots)
    factor = 1 + 0.03 * normal + drift + np.where(rng.random(n) < 0.02, rng.exponential(0.25, n), 0)
    for _ in range(rng.poisson(length_s / HOUR)):  # a straggler for a while
        start = int(rng.integers(n))
        factor[start : start + int(rng.uniform(15, 45) / mean_s)] *= rng.uniform(1.05, 1.2)
    extra = np.where(np.arange(n) % 300 == 299, 0.15, 0.0)
    extra_w = np.full(n, 0.4 * powers[0, 0])
    _every(extra, extra_w, int(9.1 * MINUTE / mean_s), 6.0, 0.35 * powers[0, 0])
    _every(extra, extra_w, int(14.7 * MINUTE / mean_s), 20.0, 0.7 * powers[0, 0])
    extra[:2] += rng.uniform(10, 30, 2)
    return Script(loads[0].limits_w, times, powers, which, np.maximum(0.5, factor), extra, extra_w, ranks)


def _every(extra_s: FLOAT, extra_w: FLOAT, steps: int, seconds: float, power_w: float) -> None:
    at = np.arange(steps, len(extra_s), max(1, steps))
    extra_s[at] += seconds
    extra_w[at] = power_w


@dataclass(frozen=True)
class Objective:
    """What is minimised: cost at ``eta``, or energy at most ``max_slowdown`` times as long."""

    eta: float = 0.5
    max_slowdown: float | None = None

    def rate(self, power_w: FLOAT, max_power_w: float) -> FLOAT:
        """Cost per second (W per GPU)."""
        eta = 1.0 if self.max_slowdown else self.eta
        return eta * power_w + (1 - eta) * max_power_w

    def best(self, time_s: FLOAT, power_w: FLOAT, limits_w: Sequence[float]) -> int:
        """Index of the best limit."""
        cost = time_s * self.rate(power_w, limits_w[0])
        if self.max_slowdown:
            cost = np.where(time_s <= self.max_slowdown * time_s[0] + 1e-12, cost, np.inf)
        return int(np.argmin(cost))


class Simulator:
    """Trains a script; ``hold`` sets the limit, ``train`` does steps, ``counter_j`` reads the energy."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.now_s = 0.0
        self.step = 0
        self.held = 0
        self.used = np.zeros((script.steps,), dtype=np.int8)
        self._before, self._changed_s = 0, -math.inf
        self._times = np.zeros(1)
        self._energy = np.zeros(1)
        self.phase = np.random.default_rng(script.ranks).random(script.ranks) * TICK_S
        self.share = 1 + 0.03 * np.random.default_rng(7).normal(size=script.ranks)

    @property
    def done(self) -> bool:
        """Whether the run has ended."""
        return self.step >= self.script.steps

    def hold(self, k: int) -> None:
        """Set the limit by index."""
        if k != self.held:
            self._before, self._changed_s, self.held = self.held, self.now_s, k

    def train(self, steps: int) -> list[float]:
        """Seconds of each step."""
        script, i = self.script, slice(self.step, min(self.step + steps, self.script.steps))
        load, factor = script.load[i], script.factor[i]
        late = self.now_s - self._changed_s < EFFECT_S
        ks = np.full(len(load), self.held)
        if late and len(ks):
            old = script.time_s[load, self._before] * factor
            ks[: int(np.searchsorted(np.cumsum(old), self._changed_s + EFFECT_S - self.now_s)) + 1] = (
                self._before
            )
        self.used[i] = ks
        busy = script.time_s[load, ks] * factor
        seconds = busy + script.extra_s[i]
        joules = busy * script.power_w[load, ks] + script.extra_s[i] * script.extra_w[i]
        # extra time comes after the work of its step, at its own power
        ends = self.now_s + np.cumsum(seconds)
        both_t = np.stack([ends - script.extra_s[i], ends], 1).ravel()
        both_e = np.stack(
            [np.cumsum(joules) - script.extra_s[i] * script.extra_w[i], np.cumsum(joules)], 1
        ).ravel()
        keep = self._times >= self.now_s - 5
        keep[max(0, len(keep) - 2) :] = True
        self._energy = np.concatenate([self._energy[keep], self._energy[-1] + both_e])
        self._times = np.concatenate([self._times[keep], both_t])
        self.step = i.stop
        if len(ends):
            self.now_s = float(ends[-1])
        return seconds.tolist()

    def counters_j(self, at_s: FLOAT) -> FLOAT:
        """(time, rank): what each rank's counter showed."""
        when = np.floor((at_s[:, None] - LAG_S + self.phase[None, :]) / TICK_S) * TICK_S - self.phase[None, :]
        return np.interp(when, self._times, self._energy) * self.share[None, :]


def total_cost(script: Script, used: FLOAT, objective: Objective) -> float:
    """Cost (J per GPU) of the limits held at each step."""
    busy = script.time_s[script.load, used] * script.factor
    cost = busy * objective.rate(script.power_w[script.load, used], script.limits_w[0])
    return float(np.sum(cost) + np.sum(script.extra_s * objective.rate(script.extra_w, script.limits_w[0])))


def total_slowdown(script: Script, used: FLOAT) -> float:
    """Training time over that at the highest limit, pauses left out."""
    busy = script.time_s[script.load, used] * script.factor
    return float(np.sum(busy) / np.sum(script.time_s[script.load, 0] * script.factor))


def measured(sim: Simulator, steps: int, settle: tuple[float, float], began_s: float) -> list[RankWindow]:
    """Train ``steps`` and sum them up in every rank."""
    times = sim.train(steps)
    ends = began_s + np.cumsum(times)
    picks = [0, *np.searchsorted(ends, np.arange(began_s + 1, ends[-1], 1.0)) + 1] if times else [0]
    picks = sorted({int(p) for p in picks} | {len(times)})
    marks = sim.counters_j(np.concatenate([[began_s], ends])[picks])
    windows = []
    for rank in range(sim.script.ranks):
        recorder = StepRecorder()
        recorder.begin(float(marks[0, rank]))
        done = 0
        for pick, energy_j in zip(picks[1:], marks[1:, rank], strict=True):
            for t in times[done:pick]:
                recorder.step(t)
            recorder.mark(float(energy_j))
            done = pick
        windows.append(
            recorder.finish(float(marks[-1, rank]), settling_s=settle[0], settling_units=settle[1])
        )
    return windows


@dataclass
class Played:
    """How a run went under our controller."""

    used: FLOAT
    controller: OnlineController
    decide_s: list[float]
    same: bool = True
    log: list[tuple[float, str]] | None = None


def play(script: Script, settings: OnlineSettings, *, copies: int = 1) -> Played:
    """Train under a controller; ``copies``: more controllers fed the same, which must decide alike."""
    sim = Simulator(script)
    controllers = [OnlineController(settings) for _ in range(copies)]
    first, limits = controllers[0], list(settings.limits_w)
    decide_s, same, log = [], True, []
    while not sim.done:
        k = limits.index(first.limit_w)
        window, settle_s, settled_steps = first.next_window(), 0.0, 0
        if k != sim.held:
            sim.hold(k)
            settled = sim.train(first.settle_steps)
            settle_s, settled_steps = sum(settled), len(settled)
        if sim.done:
            break
        began_s = sim.now_s
        ranks = measured(
            sim, window.steps if window else first.monitor_steps, (settle_s, settled_steps), began_s
        )
        for controller in controllers:
            start = time.perf_counter()
            answer = controller.observe_window(ranks) if window else controller.observe_settled(ranks)
            decide_s.append(time.perf_counter() - start)
        if window is not None or answer:
            log.append(
                (sim.now_s, f"{window and window.purpose} {limits[k]:g} W {answer} -> {first.limit_w:g}")
            )
        same = same and len({(c.limits_w, c.settled) for c in controllers}) == 1
    same = same and len({to_json(c._state) for c in controllers}) == 1  # noqa: SLF001 — all they know
    return Played(sim.used, first, decide_s, same, log)


def play_zeus(script: Script, objective: Objective) -> FLOAT:
    """Zeus's procedure: every limit from high to low, 1 s of warm-up and 5 s measured, then the best."""
    sim = Simulator(script)
    sim.train(10)
    rows = []
    for k in range(len(script.limits_w)):
        sim.hold(k)
        for seconds in (1.0, 5.0):
            began_s, steps, start_j = sim.now_s, 0, sim.counters_j(np.array([sim.now_s]))
            while sim.now_s < began_s + seconds and not sim.done:
                steps += len(sim.train(1))
        if steps:
            energy_j = float(np.mean(sim.counters_j(np.array([sim.now_s])) - start_j))
            rows.append(((sim.now_s - began_s) / steps, energy_j / (sim.now_s - began_s)))
    times, powers = np.array(rows).T
    sim.hold(objective.best(times, powers, script.limits_w))
    sim.train(script.steps)
    return sim.used


def nearest(limits_w: Sequence[float], share: float) -> int:
    return int(np.argmin(np.abs(np.array(limits_w) - share * limits_w[0])))


def held_best(script: Script, objective: Objective) -> FLOAT:
    """The best limit of each load from its first step on."""
    best = [objective.best(t, p, script.limits_w) for t, p in zip(script.time_s, script.power_w, strict=True)]
    return np.array(best)[script.load]


def settings_of(script: Script, objective: Objective) -> OnlineSettings:
    return OnlineSettings(
        limits_w=script.limits_w,
        gpus=(script.ranks,),
        eta=None if objective.max_slowdown else objective.eta,
        max_slowdown=objective.max_slowdown,
    )


def compare(script: Script, objective: Objective) -> dict[str, float]:
    """Cost of each control over that of the best limit."""
    best = total_cost(script, held_best(script, objective), objective)
    ours = play(script, settings_of(script, objective))
    zeus = play_zeus(script, objective)
    constant = {"no control": 0, "0.75 max": nearest(script.limits_w, 0.75)}
    rows = {"ours": ours.used, "zeus": zeus}
    rows |= {name: np.full(script.steps, k) for name, k in constant.items()}
    result = {name: total_cost(script, used, objective) / best for name, used in rows.items()}
    result["slowdown"] = total_slowdown(script, ours.used)
    result["slowdown zeus"] = total_slowdown(script, zeus)
    result["windows"] = ours.controller.profiling_cost.windows
    result["profiling share"] = ours.controller.profiling_cost.time_s / np.sum(
        script.time_s[script.load, ours.used] * script.factor
    )
    return result


def table(
    title: str, loads: Sequence[Load], objective: Objective, lengths: Iterable[str], ranks: Sequence[int]
) -> None:
    print(f"\n{title}: cost over the best limit's, median / worst")
    print(
        f"{'run':8}{'runs':>5}{'ours':>17}{'zeus':>17}{'no control':>17}{'0.75 max':>17}"
        f"{'cheaper than zeus':>19}{'windows':>9}{'in windows':>11}{'slowdown':>10}"
    )
    for length in lengths:
        rows = []
        for i, load in enumerate(loads):
            script = write_script(
                [load], LENGTHS_S[length], ranks[i % len(ranks)], 1000 + i, objective=objective
            )
            rows.append(compare(script, objective))
        cells = [
            f"{statistics.median(r[c] for r in rows):.4f} / {max(r[c] for r in rows):.4f}"
            for c in ("ours", "zeus", "no control", "0.75 max")
        ]
        behind = max(r["ours"] - r["zeus"] for r in rows)
        cheaper = f"{sum(r['ours'] <= r['zeus'] for r in rows)} ({behind:+.4f})"
        print(
            f"{length:8}{len(rows):5}" + "".join(f"{c:>17}" for c in cells) + f"{cheaper:>19}"
            f"{statistics.median(r['windows'] for r in rows):9.0f}"
            f"{statistics.median(r['profiling share'] for r in rows):11.2%}"
            f"{max(r['slowdown'] for r in rows):10.4f}{max(r['slowdown zeus'] for r in rows):8.4f}",
            flush=True,
        )


def changes(loads: Sequence[Load], length: str, objective: Objective, runs: int) -> None:
    """A load that changes twice: time at limits more than 2 % worse than the new best, after each change."""
    by_card = defaultdict(list)
    for load in loads:
        by_card[load.name.split("/")[0]].append(load)
    rng, shares, costs, stays = np.random.default_rng(5), [], [], []
    cards = sorted(c for c, of in by_card.items() if len(of) >= 3)
    for i in range(runs):
        card = by_card[cards[i % len(cards)]]
        three = [card[int(j)] for j in rng.choice(len(card), 3, replace=False)]
        three = [x for x in three if x.limits_w == three[0].limits_w]
        script = write_script(three, LENGTHS_S[length], (1, 4, 8)[i % 3], 2000 + i, objective=objective)
        used = play(script, settings_of(script, objective)).used
        best = held_best(script, objective)
        costs.append(total_cost(script, used, objective) / total_cost(script, best, objective))
        stays.append(
            total_cost(script, play_zeus(script, objective), objective) / total_cost(script, best, objective)
        )
        price = script.time_s * objective.rate(script.power_w, script.limits_w[0])
        off = price[script.load, used] > 1.02 * price[script.load, best]
        seconds = script.time_s[script.load, used] * script.factor + script.extra_s
        for part in range(1, len(three)):
            here = script.load == part
            shares.append(float(np.sum(seconds[off & here])) / float(np.sum(seconds)))
    within = sum(s <= 0.02 for s in shares)
    print(
        f"{length:8}{runs:5} cost ours {statistics.median(costs):.4f} / {max(costs):.4f}"
        f"  zeus {statistics.median(stays):.4f} / {max(stays):.4f}"
        f"  more than 2 % off for {statistics.median(shares):.2%} / {max(shares):.2%} of the run"
        f"  ({within} of {len(shares)} within 2 %)",
        flush=True,
    )


def many_ranks(load: Load, objective: Objective) -> None:
    """64 ranks, each with a controller of its own."""
    script = write_script([load], 1200.0, 64, 3, objective=objective)
    played = play(script, settings_of(script, objective), copies=64)
    times = sorted(played.decide_s)
    size = len(to_json(measured(Simulator(script), 20, (0.0, 0), 0.0)[0]))
    print(
        f"64 ranks: decisions and states identical: {played.same}; one decision "
        f"{1e3 * statistics.median(times):.2f} ms (median), {1e3 * times[int(0.999 * len(times))]:.1f} ms "
        f"(99.9 %); {size} bytes gathered per rank and window"
    )


def per_step() -> None:
    """What a step costs in a settled run: the recorder."""
    recorder, n = StepRecorder(), 200_000
    best = math.inf
    for _ in range(5):
        recorder.begin(0.0)
        start = time.perf_counter()
        for _ in range(n):
            recorder.step(0.1)
        best = min(best, (time.perf_counter() - start) / n)
    print(f"per step: {1e6 * best:.2f} us in the recorder")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, required=True)
    parser.add_argument("--curves", type=Path, required=True)
    parser.add_argument("--part", choices=["tuned", "held-out"], default="held-out")
    parser.add_argument("--quick", action="store_true", help="few workloads, short runs")
    parser.add_argument("--only", default="", help="the tables whose title has this in it")
    parser.add_argument("--lengths", nargs="*", choices=list(LENGTHS_S), help="the rows; all")
    parser.add_argument("--curves-share", type=int, default=8, help="every n-th modelled workload")
    arguments = parser.parse_args()
    wanted = arguments.part == "tuned"
    recorded = [x for x in read_loads(arguments.traces, "summary_power_*.csv") if x.tuned == wanted]
    modelled = [x for x in read_loads(arguments.curves, "power_*.csv") if x.tuned == wanted]
    modelled = modelled[:: arguments.curves_share]
    lengths = ["10 min", "1 h"] if arguments.quick else list(LENGTHS_S)
    if arguments.quick:
        recorded, modelled = recorded[::4], modelled[::6]
    print(f"part {arguments.part}: {len(recorded)} recorded, {len(modelled)} modelled workloads")
    chosen = [x for x in lengths if not arguments.lengths or x in arguments.lengths]
    binding = [x for x in recorded if x.power_w[0] > x.limits_w[-1]]
    free = [x for x in recorded if x.power_w[0] <= x.limits_w[-1]]
    scatter = "eta 0.5, recorded, no limit ever binds (what differs is the recording's scatter)"
    tables = [
        ("eta 0.5, recorded", binding, Objective(), lengths),
        (scatter, free, Objective(), lengths[:2]),
        ("eta 0.5, modelled", modelled, Objective(), lengths),
    ]
    loads = binding + modelled
    tables += [(f"eta {eta}", loads, Objective(eta), lengths[:2]) for eta in (0.2, 1.0)]
    for factor in (1.03, 1.1):
        tables.append((f"max_slowdown {factor}", loads, Objective(max_slowdown=factor), lengths[:3]))
    for title, of, objective, upto in tables:
        rows = [x for x in upto if x in chosen]
        if rows and arguments.only in title:
            table(title, of, objective, rows, RANKS)
    if arguments.only in "load that changes twice":
        print("\nload that changes twice: median / worst")
        for length in [x for x in lengths[1:] if x in chosen]:
            changes(loads, length, Objective(), 8 if arguments.quick else 24)
    if arguments.only in "64 ranks":
        print()
        many_ranks(recorded[0], Objective())
        per_step()


if __name__ == "__main__":
    main()
