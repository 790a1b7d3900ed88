"""Savings with a few days of history: windows cut from recorded grids, with no history before them.

    python benchmarks/bench_first_days.py --signals ../shared/data/carbon

A window is as long as the short file that comes with Chase (83 hours). Sweeps start in it from its second
day on. Windows come from the second halves of files of 200 days or more; ``--chosen``: from the first
halves, on which the constants of ``gp_forecast.py`` were chosen. "mean day" is an earlier forecast.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import sweep_simulation as simulation
from sweep_simulation import Grid, HistoryView

from zeus_ray.carbon.forecasts.forecaster import ForecastUncertainty
from zeus_ray.carbon.forecasts.gp_forecast import GpForecast
from zeus_ray.carbon.planning.width_planner import WidthRules
from zeus_ray.carbon.series import Series
from zeus_ray.quantity_format import DAY_S, HOUR_S

WINDOW_S = 83 * HOUR_S
STARTS_EVERY_S = 11 * HOUR_S
CASES = [(12, 1.5), (12, 2.0), (12, 3.0), (24, 1.25), (24, 1.5), (24, 2.0)]
WIDTHS = (1, 2, 8)
COLUMNS = ("at once", "mean day", "Gaussian process", "oracle")


@dataclass(frozen=True)
class MeanDay:
    """The mean of all whole days, corrected by the latest error, which decays to 1/e in 20 hours."""

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """As ``Forecaster.forecast``; a day of history at least, without gaps."""
        per_day = round(DAY_S / history.step_s)
        days = len(history) // per_day
        mean_day = history.values[-days * per_day :].reshape(days, per_day).mean(axis=0)
        lead = np.arange(1, int(np.ceil(horizon_s / history.step_s - 1e-9)) + 1)
        error = (history.values[-1] - mean_day[-1]) * np.exp(-lead * history.step_s / (20 * HOUR_S))
        return Series(history.end_s, history.step_s, mean_day[(lead - 1) % per_day] + error)

    def uncertainty(self, history: Series, horizon_s: float) -> ForecastUncertainty:
        """As that of :class:`GpForecast`."""
        return GpForecast().uncertainty(history, horizon_s)


def window(truth: Series) -> np.ndarray:
    """Grams of each case (a row) and column, summed over starts."""
    grid = Grid("window", truth, truth.start_s + DAY_S, truth.end_s)
    policies = [
        simulation.at_once,
        *(
            simulation.planned(HistoryView(truth, forecaster, uncertain=True))
            for forecaster in (MeanDay(), GpForecast())
        ),
    ]
    rows = []
    for work_h, times in CASES:
        horizon_s = times * work_h * HOUR_S
        starts = [s for s in grid.starts(horizon_s, HOUR_S) if (s - grid.first_s) % STARTS_EVERY_S == 0]
        for width in WIDTHS:
            grams = np.zeros(len(COLUMNS))
            for start_s in starts:
                rules = WidthRules(
                    deadline_s=start_s + horizon_s, max_trials=width, replan_every_s=truth.step_s
                )
                spent = [simulation.run_fluid(truth, start_s, work_h, rules, p)[0] for p in policies]
                grams += [*spent, simulation.oracle(truth, start_s, work_h, rules)]
            rows.append(grams)
    return np.array(rows)


def windows(path: Path, every_s: float, *, chosen: bool) -> list[Series]:
    """Pieces of a file of 200 days or more, from the half that is asked for; none of a shorter one."""
    grid = Grid.read(path, everything=False)
    if grid.short:
        return []
    first_s, last_s = (grid.truth.start_s, grid.first_s) if chosen else (grid.first_s, grid.last_s)
    starts_s = np.arange(first_s, last_s - WINDOW_S + 1, every_s)
    return [grid.truth.between(s, s + WINDOW_S) for s in starts_s]


def line(name: str, grams: np.ndarray) -> str:
    """A row of the table, from (windows, cases, columns)."""
    _once, mean_day, gp, _oracle = (1 - grams / grams[..., :1]).mean(axis=1).T
    total = 1 - grams.sum(axis=0) / grams.sum(axis=0)[:, :1]
    saved = [f"{100 * x:.1f} ({100 * x / total[:, 3].mean():.0f} %)" for x in total.mean(axis=0)[1:]]
    lost = [f"{100 * x.min():+.1f} %" for x in (mean_day, gp)]
    better = f"{(gp > mean_day).sum()} of {len(gp)}"
    return f"| {name} | {' | '.join(saved)} | {better} | {' / '.join(lost)} |"


def main(argv: list[str]) -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--signals", type=Path, required=True, help="folder of CSVs of intensity")
    parser.add_argument("--every", type=float, default=101, help="hours between two windows")
    parser.add_argument("--chosen", action="store_true", help="the first halves: constants were chosen there")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(argv)
    print(
        "| region | mean day | Gaussian process | oracle | the latter is better in | worst window of both |"
    )
    print("|---|---|---|---|---|---|")
    with Pool(options.processes) as pool:
        for path in sorted(options.signals.glob("*.csv")):
            pieces = windows(path, options.every * HOUR_S, chosen=options.chosen)
            if pieces:
                print(line(path.stem, np.array(pool.map(window, pieces, chunksize=1))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
