"""Reads recorded learning curves by batch size into workloads.

``jobs.csv``: job, default_batch_size, target, mode, max_epochs. ``learning_curves.csv``: job,
batch_size, run, epoch, metric as evaluated. ``power_{card}.csv``: job, batch_size, power_limit,
time_per_epoch, average_power.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path as File

from recurrences import Path, Workload

from zeus_ray.records import Target

Marks = list[tuple[float, float]]


def load(folder: File, half: str = "all") -> list[Workload]:
    """Every job on every card. ``half``: "a" (jobs of even index within their group), "b" (odd), or "all".

    A group is what a job's name begins with, up to its first hyphen.
    """
    curves: dict[str, dict[int, dict[str, Marks]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for row in _rows(folder / "learning_curves.csv"):
        mark = (float(row["epoch"]), float(row["metric"]))
        curves[row["job"]][int(row["batch_size"])][row["run"]].append(mark)
    works = []
    for card in sorted(file.stem.removeprefix("power_") for file in folder.glob("power_*.csv")):
        points: dict[str, dict[int, dict[float, tuple[float, float]]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        for row in _rows(folder / f"power_{card}.csv"):
            point = (float(row["average_power"]), float(row["time_per_epoch"]))
            points[row["job"]][int(row["batch_size"])][float(row["power_limit"])] = point
        seen: dict[str, int] = defaultdict(int)
        for row in _rows(folder / "jobs.csv"):
            job, group = row["job"], row["job"].split("-")[0]
            number, seen[group] = seen[group], seen[group] + 1
            if half == "all" or (half == "a") == (number % 2 == 0):
                works.append(_workload(row, card, points[job], curves[job]))
    return works


def _rows(file: File) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _workload(
    row: dict[str, str],
    card: str,
    points: dict[int, dict[float, tuple[float, float]]],
    curves: dict[int, dict[str, Marks]],
) -> Workload:
    target = Target("metric", float(row["target"]), row["mode"])
    most = float(row["max_epochs"])
    return Workload(
        name=row["job"],
        gpu=card,
        target=target,
        max_epochs=int(most),
        default_batch_size=int(row["default_batch_size"]),
        points={size: dict(points[size]) for size in sorted(points)},
        paths={
            size: [_path(sorted(marks), target, most) for marks in curves[size].values()] for size in points
        },
    )


def _path(marks: Marks, target: Target, most: float) -> Path:
    """A run is seen after whole epochs: an evaluation in between counts at the end of its epoch."""
    at = next((epoch for epoch, metric in marks if target.reached(metric)), math.inf)
    return Path(math.ceil(at) if at <= most else math.inf, tuple(marks))
