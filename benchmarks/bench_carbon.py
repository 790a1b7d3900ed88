"""Emissions of planned sweeps and power limits against starting at once, on recorded grids.

    python benchmarks/bench_carbon.py --signals ../shared/data/carbon

Every CSV of the folder is a region. The planner's constants were chosen on the first halves of CISO and ERCO
2022, so a file that spans 200 days or more is judged on its second half; a shorter one on all of it.
"Deadline N×": N times the length of the sweep run one trial at a time. Starting at once means running at
full width from the start. Savings are of the sum over all starts.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import power_over_time
import sweep_simulation as simulation
from hindsight_forecast import HindsightView
from sweep_simulation import Grid, HistoryView, ProviderView

from zeus_ray.carbon.forecasts.baseline_forecasts import BlendedForecast
from zeus_ray.carbon.forecasts.gp_forecast import GpForecast
from zeus_ray.carbon.planning.width_planner import WidthRules
from zeus_ray.gpus import simulated_power_and_time as cards
from zeus_ray.quantity_format import HOUR_S

WORK_H = (12, 24, 72)
DEADLINES = (1.0, 1.25, 1.5, 2.0, 3.0)
WIDTHS = (1, 2, 8)
COLUMNS = ("median", "lowest quarter", "blend", "certain", "history", "hindsight", "provider", "oracle")
AIMS = {"history": 0.80, "provider": 0.90}


# --- trials over time --------------------------------------------------------------------------------


def case(grid: Grid, every_s: float, work_h: float, times: float, width: int) -> dict[str, float] | None:
    """Sums over all starts of one case, in g per kW; None if the file is too short for it."""
    sums = dict.fromkeys(("starts", "missed", "at once", "one at a time", *COLUMNS), 0.0)
    noise = simulation.correlated_noise(len(grid.truth), grid.truth.step_s, seed=0)
    view = HistoryView(grid.truth, GpForecast())
    policies = {
        "at once": simulation.at_once,
        "median": simulation.threshold(grid.truth, 0.5),
        "lowest quarter": simulation.threshold(grid.truth, 0.25),
        "blend": simulation.planned(HistoryView(grid.truth, BlendedForecast())),
        "certain": simulation.planned(view),
        "history": simulation.planned(HistoryView(grid.truth, GpForecast(), uncertain=True)),
        "provider": simulation.planned(ProviderView(grid.truth, noise, view)),
    }
    if grid.short:  # fewer values than coefficients
        sums["hindsight"] = np.nan
    else:
        policies["hindsight"] = simulation.planned(HindsightView(grid.truth, grid.first_s, grid.last_s))
    for start_s in grid.starts(times * work_h * HOUR_S, every_s):
        rules = WidthRules(
            deadline_s=start_s + times * work_h * HOUR_S, max_trials=width, replan_every_s=grid.truth.step_s
        )
        sums["starts"] += 1
        for name, policy in policies.items():
            grams, end_s = simulation.run_fluid(grid.truth, start_s, work_h, rules, policy)
            sums[name] += grams
            sums["missed"] += name in AIMS and end_s > rules.deadline_s + 1
        sums["oracle"] += simulation.oracle(grid.truth, start_s, work_h, rules)
        single = WidthRules(deadline_s=rules.deadline_s, max_trials=1, replan_every_s=grid.truth.step_s)
        sums["one at a time"] += simulation.run_fluid(
            grid.truth, start_s, work_h, single, simulation.at_once
        )[0]
    return sums if sums["starts"] else None


def saving(sums: dict[str, float], column: str) -> float:
    """The share of the emissions of starting at once that a policy saves."""
    return 1 - sums[column] / sums["at once"]


def trials_over_time(grids: list[Grid], every_h: float, pool: Pool) -> list[str]:  # type: ignore[valid-type]
    """A table per region, then each policy's share of the oracle's saving."""
    keys = [(w, n, m) for w in WORK_H for n in DEADLINES for m in WIDTHS]
    lines, found = [], {}
    for grid in grids:
        results = pool.starmap(partial(case, grid, every_h * HOUR_S), keys, chunksize=1)  # type: ignore[attr-defined]
        done = {k: r for k, r in zip(keys, results, strict=True) if r}
        found[grid.name] = done
        lines += ["", f"### {grid.name}", ""]
        lines += [
            "Saved against starting at once: from history / with a provider's forecast / by the oracle (%).",
            "",
        ]
        lines += [
            "| work | deadline | starts |" + "".join(f" width {m} |" for m in WIDTHS),
            "|---" * (3 + len(WIDTHS)) + "|",
        ]
        for w in WORK_H:
            for n in DEADLINES:
                cells = [cell(done.get((w, n, m))) for m in WIDTHS]
                starts = next((int(r["starts"]) for m in WIDTHS if (r := done.get((w, n, m)))), 0)
                if starts:
                    lines.append(f"| {w} h | {n:g}× | {starts} | " + " | ".join(cells) + " |")
        short = sum(r is None for r in results)
        if short:
            lines += ["", f"{short} of {len(keys)} cases need a longer file and are left out."]
    return lines + summary(found)


def cell(sums: dict[str, float] | None) -> str:
    """Three savings in per cent."""
    return (
        "–"
        if sums is None
        else " / ".join(f"{100 * saving(sums, c):.1f}" for c in ("history", "provider", "oracle"))
    )


def summary(found: dict[str, dict[tuple[float, float, int], dict[str, float]]]) -> list[str]:
    """Mean saving over all cases that leave a choice, and its share of the oracle's."""
    lines = [
        "",
        "### All cases",
        "",
        "Mean saving (%), and in brackets its share of the oracle's mean saving.",
        "",
    ]
    lines += [
        "| region | " + " | ".join(COLUMNS) + " | worst case, from history | missed |",
        "|---" * (len(COLUMNS) + 3) + "|",
    ]
    shares: dict[str, list[float]] = {c: [] for c in COLUMNS}
    sums: dict[str, list[float]] = {c: [] for c in COLUMNS}
    for name, cases in found.items():
        open_cases = [s for key, s in cases.items() if key[1:] != (1.0, 1)]
        if not open_cases:
            continue
        means = {c: float(np.mean([saving(s, c) for s in open_cases])) for c in COLUMNS}
        for column in COLUMNS:
            shares[column].append(means[column] / means["oracle"])
            sums[column].append(means[column])
        row = [or_dash(f"{100 * means[c]:.1f} ({100 * shares[c][-1]:.0f} %)") for c in COLUMNS]
        worst = min(
            min(saving(s, c), 1 - s[c] / s["one at a time"]) for s in open_cases for c in ("history",)
        )
        missed = int(sum(s["missed"] for s in cases.values()))
        lines.append(f"| {name} | " + " | ".join(row) + f" | {100 * worst:+.1f} % | {missed} |")
    totals = {c: sum(x) for c, x in sums.items()}
    lines += [
        "| all, by grams saved | "
        + " | ".join(or_dash(f"({percent(totals[c], totals['oracle'])})") for c in COLUMNS)
        + " | | |",
        "| all, each region alike | "
        + " | ".join(or_dash(f"({100 * np.mean(shares[c]):.0f} %)") for c in COLUMNS)
        + " | | |",
        "",
    ]
    for column, aim in AIMS.items():
        lines.append(
            f"{column}: {percent(totals[column], totals['oracle'])} of the oracle's saving by grams saved, "
            f"{100 * np.mean(shares[column]):.1f} % with each region alike (aim: {100 * aim:.0f} %)"
        )
    return lines


def or_dash(text: str) -> str:
    """A dash for a value that was not measured."""
    return "–" if "nan" in text else text


def percent(part: float, whole: float) -> str:
    """A share in per cent."""
    return f"{100 * part / whole:.1f} %"


# --- no deadline missed ------------------------------------------------------------------------------

FAILURES = ("nothing wrong", "forecasts 30 % off", "signal lost for six hours", "both")


def late(grid: Grid, task: tuple[int, str]) -> bool:
    """Whether a sweep ends late; its trials cannot be split, and a third of them cannot be paused."""
    seed, failure = task
    rng = np.random.default_rng(seed)
    trials_h = rng.lognormal(0, 0.8, size=rng.integers(1, 25))
    may_pause = rng.random(len(trials_h)) > 1 / 3
    width = int(rng.choice(WIDTHS))
    full_width_h = trials_h.sum() / width + trials_h.max() * (1 - 1 / width)
    horizon_s = full_width_h * HOUR_S * rng.choice(DEADLINES)
    starts = grid.starts(horizon_s, grid.truth.step_s)
    if not starts:
        return False
    start_s = float(rng.choice(starts)) + rng.uniform(0, grid.truth.step_s)
    rules = WidthRules(deadline_s=start_s + horizon_s, max_trials=width, replan_every_s=HOUR_S)
    lost_s = start_s + rng.uniform(-6 * HOUR_S, horizon_s)
    lost = (lost_s, lost_s + 6 * HOUR_S) if "lost" in failure or failure == "both" else (np.inf, np.inf)
    view = HistoryView(grid.truth, GpForecast(), uncertain=True, lost=lost)
    mape = 0.3 if "off" in failure or failure == "both" else 0.08
    noise = simulation.correlated_noise(len(grid.truth), grid.truth.step_s, seed % 16)
    policy = simulation.planned(ProviderView(grid.truth, noise, view, mape))
    return simulation.run_trials(start_s, trials_h, may_pause, rules, policy) > rules.deadline_s + 1e-3


def deadlines(grids: list[Grid], n: int, pool: Pool) -> list[str]:  # type: ignore[valid-type]
    """Sweeps that ended late, by failure."""
    lines = ["", "### Deadlines", "", "| | sweeps | late |", "|---|---|---|"]
    each = n // (len(FAILURES) * len(grids)) + 1
    for failure in FAILURES:
        tasks = [(seed, failure) for seed in range(each)]
        ended = [x for g in grids for x in pool.map(partial(late, g), tasks, chunksize=25)]  # type: ignore[attr-defined]
        lines.append(f"| {failure} | {len(ended)} | {sum(ended)} |")
    return lines


def main(argv: list[str]) -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--signals", type=Path, required=True, help="folder of CSVs of intensity")
    parser.add_argument("--every", type=float, default=61, help="hours between two starts")
    parser.add_argument("--sweeps", type=int, default=10_000, help="sweeps of the deadline test")
    parser.add_argument("--everything", action="store_true", help="judge long files on all of it")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=("trials", "deadlines", "power"), action="append")
    options = parser.parse_args(argv)
    files = sorted(options.signals.glob("*.csv"))
    if not files:
        print(f"no CSV in {options.signals}: nothing to measure")
        return 0
    grids = [Grid.read(path, everything=options.everything) for path in files]
    parts = options.only or ("trials", "deadlines", "power")
    with Pool(options.processes) as pool:
        if "trials" in parts:
            print("## Trials over time")
            print("\n".join(trials_over_time(grids, options.every, pool)))
        if "deadlines" in parts:
            print("\n".join(deadlines(grids, options.sweeps, pool)))
    if "power" in parts:
        print("\n".join(power_over_time.tables(files, grids, [cards.card("V100"), cards.card("A40")])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
