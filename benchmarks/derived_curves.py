"""Jobs made from recorded learning curves, to choose constants on more kinds of job than were recorded.

``retargeted``: the same curves with another target and another default, so that other batch sizes fail, and
others are the optimum. ``crossing``: runs of the default, stretched and bent, so that large batch sizes start
behind and may be the optimum all the same; some of the largest never reach the target.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from recurrences import Path, Workload

from zeus_ray.records import Target

BELOW_BEST = (0.002, 0.005, 0.01, 0.03)
"""Targets are the best metric of a batch size, less one of these shares."""
RUNS = 6


def retargeted(works: list[Workload], per_job: int = 8, seed: int = 0) -> list[Workload]:
    """``per_job`` pairs of target and default of each job, each on one of its cards."""
    rng, jobs = np.random.default_rng(seed), []
    for name in dict.fromkeys(work.name for work in works):
        cards = [work for work in works if work.name == name]
        pairs = _pairs(cards[0])
        for i in rng.permutation(len(pairs))[:per_job]:
            target, default = pairs[i]
            job = _with_target(cards[int(rng.integers(len(cards)))], target)
            title = f"{name}@{default}@{target.value:.4f}"
            jobs.append(dataclasses.replace(job, name=title, default_batch_size=default))
    return jobs


def _pairs(work: Workload) -> list[tuple[Target, int]]:
    """Targets and defaults that reach them in every run, after three epochs or more on average."""
    sign = 1 if work.target.mode == "max" else -1
    best = [np.mean([max(sign * m for _e, m in p.curve) for p in paths]) for paths in work.paths.values()]
    values = [sign * (top - share * abs(top)) for top in best for share in BELOW_BEST]
    pairs = []
    for target in (dataclasses.replace(work.target, value=float(value)) for value in values):
        for size, paths in _with_target(work, target).paths.items():
            needs = [path.reached_at for path in paths]
            if max(needs) <= work.max_epochs and np.mean(needs) >= 3:
                pairs.append((target, size))
    return pairs


def _with_target(work: Workload, target: Target) -> Workload:
    def path(old: Path) -> Path:
        at = next((epoch for epoch, metric in old.curve if target.reached(metric)), math.inf)
        return Path(math.ceil(at) if at <= work.max_epochs else math.inf, old.curve)

    paths = {size: [path(old) for old in paths] for size, paths in work.paths.items()}
    return dataclasses.replace(work, target=target, paths=paths)


def crossing(works: list[Workload], per_job: int = 3, seed: int = 5) -> list[Workload]:
    """``per_job`` jobs of each, on its card, whose default takes 8 to 30 epochs."""
    rng, jobs = np.random.default_rng(seed), []
    for work in works:
        known = [p for p in work.paths[work.default_batch_size] if p.reached_at <= work.max_epochs]
        if np.mean([p.reached_at for p in known]) < 3:
            continue
        for number in range(per_job):
            paths = _bent(work, known, rng)
            if all(path.reached_at <= work.max_epochs for path in paths[work.default_batch_size]):
                jobs.append(dataclasses.replace(work, name=f"{work.name}@{number}", paths=paths))
    return jobs


def _bent(work: Workload, known: list[Path], rng: np.random.Generator) -> dict[int, list[Path]]:
    """Epochs change by up to 2^-0.7 an octave; the exponent of time grows by up to 0.5 an octave."""
    default, sizes = work.default_batch_size, sorted(work.points)
    epochs = float(np.clip(np.mean([path.reached_at for path in known]), 8, 30))
    slope, bend = rng.uniform(-0.7, 0.3), rng.uniform(0, 0.5)
    failing = int(rng.integers(len(sizes) // 2, len(sizes))) if rng.random() < 0.3 else len(sizes)
    paths = {}
    for i, size in enumerate(sizes):
        octaves = math.log2(size / default)
        mean = epochs * 2 ** (slope * octaves + (0.0 if size == default else rng.normal(0, 0.25)))
        power = max(0.4, 1 + bend * octaves) * math.exp(rng.normal(0, 0.1))
        fails = i >= failing and size != default
        needs = [mean * math.exp(rng.normal(0, 0.07)) for _ in range(RUNS)]
        paths[size] = [
            _path(work, known[n % len(known)], need, power, fails=fails) for n, need in enumerate(needs)
        ]
    return paths


def _path(work: Workload, known: Path, need: float, power: float, *, fails: bool) -> Path:
    """``known`` with its time scaled to ``need`` epochs and bent; or with a plateau below the target."""
    sign, goal = (1 if work.target.mode == "max" else -1), float(work.target.value or 0.0)
    epochs, metrics = np.array(known.curve).T
    at = np.arange(1.0, work.max_epochs + 1)
    pace = (at / need) ** power
    shown = known.reached_at * (1 - np.exp(-1.5 * pace) if fails else pace)
    start = metrics[0] - sign * 0.3 * abs(metrics[0])
    curve = np.interp(shown, np.r_[0.0, epochs], np.r_[start, metrics])
    reached = math.inf if fails or round(need) > work.max_epochs else max(1.0, round(need))
    below = goal - sign * 0.001 * abs(goal)
    hidden = (sign * curve >= sign * goal) & (at < reached)
    return Path(reached, tuple(zip(at.tolist(), np.where(hidden, below, curve).tolist(), strict=True)))
