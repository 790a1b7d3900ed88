"""Reads recorded traces in the format of Zeus's NSDI'23 evaluation into workloads.

``summary_train.csv``: the epoch at which each recorded run first reached each metric (empty: never).
``summary_power_{gpu}.csv``: seconds per epoch and average watts for every (batch size, power limit).
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path as File

from recurrences import Path, Workload

from zeus_ray.records import Target


@dataclass(frozen=True)
class JobSpec:
    """A job of the NSDI'23 evaluation: what was trained, to which target, from which batch size."""

    dataset: str
    network: str
    optimizer: str
    target: Target
    max_epochs: int
    default_batch_size: int


JOBS = (
    JobSpec("cifar100", "shufflenetv2", "adadelta", Target("accuracy", 0.6), 100, 1024),
    JobSpec("librispeech", "deepspeech2", "adamw", Target("wer", 40.0, "min"), 16, 192),
    JobSpec("movielens-1m", "ncf", "adam", Target("ndcg", 0.41), 100, 1024),
    JobSpec("imagenet", "resnet50", "adadelta", Target("accuracy", 0.65), 100, 256),
    JobSpec("squad", "bert_base_uncased", "adamw", Target("f1", 84.0), 6, 32),
    JobSpec("sentiment140", "bert_base_uncased", "adamw", Target("accuracy", 0.84), 10, 128),
)


def gpus(folder: File) -> list[str]:
    """The kinds of GPU that ``folder`` has power records of."""
    return sorted(file.stem.removeprefix("summary_power_") for file in folder.glob("summary_power_*.csv"))


def load(folder: File, gpu: str) -> list[Workload]:
    """Every job that ``folder`` has records of on ``gpu``."""
    training = _rows(folder / "summary_train.csv")
    power = _rows(folder / f"summary_power_{gpu}.csv")
    works = (_workload(spec, gpu, training, power) for spec in JOBS)
    return [work for work in works if work is not None]


def _rows(file: File) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _workload(
    spec: JobSpec, gpu: str, training: list[dict[str, str]], power: list[dict[str, str]]
) -> Workload | None:
    """The batch sizes with training records at the job's settings and power records at every limit."""
    points: dict[int, dict[float, tuple[float, float]]] = defaultdict(dict)
    for row in filter(lambda row: _is_of(spec, row), power):
        point = (float(row["average_power"]), float(row["time_per_epoch"]))
        points[int(row["batch_size"])][float(row["power_limit"])] = point
    limits = {limit for by_limit in points.values() for limit in by_limit}
    paths = _paths(spec, [row for row in training if _is_of(spec, row)])
    sizes = sorted(size for size in paths if set(points[size]) == limits and limits)
    if not sizes:
        return None
    default = max(size for size in sizes if size <= max(spec.default_batch_size, sizes[0]))
    return Workload(
        name=spec.dataset,
        gpu=gpu,
        target=spec.target,
        max_epochs=spec.max_epochs,
        default_batch_size=default,
        points={size: points[size] for size in sizes},
        paths={size: paths[size] for size in sizes},
    )


def _is_of(spec: JobSpec, row: dict[str, str]) -> bool:
    return (row["dataset"], row["network"], row["optimizer"]) == (spec.dataset, spec.network, spec.optimizer)


def _paths(spec: JobSpec, rows: list[dict[str, str]]) -> dict[int, list[Path]]:
    runs: dict[tuple[int, str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        key = (int(row["batch_size"]), row["learning_rate"], row["run"])
        epoch = float(row["target_epoch"]) if row["target_epoch"] else math.inf
        runs[key].append((epoch, float(row["target_metric"])))
    paths: dict[int, list[Path]] = defaultdict(list)
    for (size, _rate, _run), marks in runs.items():
        at_target = [epoch for epoch, metric in marks if metric == spec.target.value]
        sign = 1 if spec.target.mode == "max" else -1
        shown = sorted(
            ((e, m) for e, m in marks if math.isfinite(e)), key=lambda mark: (mark[0], sign * mark[1])
        )
        paths[size].append(Path(at_target[0] if at_target else math.inf, tuple(shown)))
    return paths
