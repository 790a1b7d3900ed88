"""The error of each forecast 1, 6, 24 and 48 hours ahead, rolling over every CSV of a folder.

python benchmarks/bench_forecast.py --signals ../shared/data/carbon

Each forecast gets the four weeks before its origin. Files longer than eight weeks are judged on their second
half only: constants were chosen on first halves, or without data.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from zeus_ray.carbon.csv_reader import read_csv
from zeus_ray.carbon.forecasts.baseline_forecasts import (
    BlendedForecast,
    PersistenceForecast,
    SameHourForecast,
    SvrForecast,
)
from zeus_ray.carbon.forecasts.forecaster import HISTORY_S, Forecaster
from zeus_ray.carbon.forecasts.gp_forecast import GpForecast
from zeus_ray.carbon.series import Series
from zeus_ray.quantity_format import DAY_S, HOUR_S, WEEK_S

LEADS_H = (1, 6, 24, 48)
FORECASTERS: dict[str, Forecaster] = {
    "persistence": PersistenceForecast(),
    "same hour yesterday": SameHourForecast(),
    "same hour last week": SameHourForecast(WEEK_S),
    "blend": BlendedForecast(),
    "published (SVR)": SvrForecast(),
    "Gaussian process": GpForecast(),
}


def origins_s(series: Series, every_h: float) -> np.ndarray:
    """When forecasts are made: with a day of history at least, and the truth an hour ahead."""
    long = len(series) * series.step_s > 8 * WEEK_S
    first_s = series.start_s + (len(series) * series.step_s / 2 if long else DAY_S)
    steps = np.arange(0, series.end_s - HOUR_S - first_s + 1e-6, every_h * HOUR_S) // series.step_s
    return first_s + steps * series.step_s


def errors(forecaster: Forecaster, series: Series, when_s: np.ndarray) -> tuple[np.ndarray, float]:
    """Percent of the truth, one row per origin and one column per lead; seconds per forecast."""
    rows, spent_s = [], 0.0
    for now_s in when_s:
        past = series.between(now_s - HISTORY_S, now_s)
        began = time.process_time()
        ahead = forecaster.forecast(past, 48 * HOUR_S)
        spent_s += time.process_time() - began
        # The interval that ends so many hours ahead: one hour ahead is the next hour's value.
        times = [now_s + lead * HOUR_S - series.step_s / 2 for lead in LEADS_H]
        truth = np.array([series.at(t) for t in times])
        forecast = np.array([ahead.at(t) for t in times])
        rows.append(
            np.where(truth > 0, 100 * np.abs(forecast - truth) / np.where(truth > 0, truth, 1), np.nan)
        )
    return np.array(rows), spent_s / max(1, len(when_s))


def mean(percent: np.ndarray) -> str:
    finite = percent[np.isfinite(percent)]
    return f"{finite.mean():.1f} %" if len(finite) else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--signals", type=Path, required=True, help="folder of CSVs")
    parser.add_argument("--every", type=float, default=5.0, help="hours between origins")
    options = parser.parse_args()
    files = sorted(options.signals.glob("*.csv"))
    if not files:
        parser.error(f"{options.signals} holds no CSV")
    print("| signal | forecast | " + " | ".join(f"{lead} h" for lead in LEADS_H) + " | ms each |")
    print("|---|---|" + "---:|" * (len(LEADS_H) + 1))
    for file in files:
        series = read_csv(file)
        when_s = origins_s(series, options.every)
        for name, forecaster in FORECASTERS.items():
            percent, each_s = errors(forecaster, series, when_s)
            cells = " | ".join(mean(column) for column in percent.T)
            print(
                f"| {file.stem} ({len(when_s)} origins) | {name} | {cells} | {1e3 * each_s:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
