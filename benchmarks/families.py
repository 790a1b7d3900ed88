"""Invented training jobs that stress a search: each family one way in which jobs differ.

Nothing here is taken from a recorded job. Epoch costs follow a fixed time per step and a time per
sample; power follows the limit; learning curves saturate, with a pace that varies from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from recurrences import Path, Workload, steady

from zeus_ray.records import Target

LIMITS_W = (100.0, 125.0, 150.0, 175.0, 200.0, 225.0, 250.0)
PATHS = 40
TARGET = Target("accuracy", 0.9)
MAX_EPOCHS = 200
LEVELS = 30
Epochs = Callable[[float], float]
"""Mean epochs to the target by the position of a batch size, 0 (smallest) to 1 (largest); inf: never."""

SHAPES: dict[str, Epochs] = {
    "flat": lambda _x: 20.0,
    "u-shaped": lambda x: 12.0 * 2 ** (10 * (x - 0.55) ** 2),
    "rising": lambda x: 8.0 * (1 + 12 * x**2),
    "falling": lambda x: 8.0 * (1 + 12 * (1 - x) ** 2),
    "cliff below": lambda x: math.inf if x < 0.4 else 15.0 * (1 + x),
    "cliff above": lambda x: math.inf if x > 0.6 else 15.0 * (1 + x),
    "lone default": lambda x: 20.0 if abs(x - 0.5) < 1e-9 else math.inf,
    "plateau above": lambda x: math.inf if x > 0.6 else 15.0 * (1 + x),
    "crossing": lambda x: 8.0 * (1 + 4 * x**2),
}
FROM_THE_MIDDLE = ("lone default", "cliff below", "cliff above", "plateau above")
"""Shapes whose default is the middle batch size, which works."""
PLATEAU = 0.97
"""What "plateau above" learns where it never reaches the target: this share of it, as fast as any other."""
CROSSING = 1.5
"""How far learning curves of "crossing" bend: the largest batch size begins slowest, and catches up."""


@dataclass(frozen=True)
class Drift:
    """From ``after`` on, large batches take up to half as many epochs again; small ones up to half fewer."""

    after: int
    sizes: tuple[int, ...]

    def __call__(self, recurrence: int, batch_size: int) -> float:
        """Factor on the epochs a run needs."""
        if recurrence < self.after:
            return 1.0
        place = self.sizes.index(batch_size) / max(1, len(self.sizes) - 1)
        return 1.5 ** (2 * place - 1)


def workload(shape: str, *, count: int, noise: float, seed: int, drift_after: int | None = None) -> Workload:
    """A job with ``count`` batch sizes whose log epochs scatter by ``noise``."""
    rng = np.random.default_rng((seed, count, len(shape)))
    ratio = 2.0 if count <= 10 else 2 ** (10 / count)
    sizes = sorted({round(8 * ratio**i) for i in range(count)})
    middle = len(sizes) // 2
    places = {size: _place(i, middle, len(sizes)) for i, size in enumerate(sizes)}
    knee = float(2 ** rng.uniform(math.log2(sizes[0]), math.log2(sizes[-1])))
    epoch_s = float(2 ** rng.uniform(2, 9))
    points = {size: _points(size, knee, epoch_s, rng) for size in sizes}
    paths = {size: _paths(SHAPES[shape](places[size]), noise, rng) for size in sizes}
    if shape == "plateau above":
        stuck = _stuck(_paths(20.0, noise, rng))
        paths = {size: stuck if places[size] > 0.6 else paths[size] for size in sizes}
    if shape == "crossing":
        paths = {b: _paths(SHAPES[shape](x), noise, rng, CROSSING ** (2 * x - 1)) for b, x in places.items()}
    default = sizes[middle] if shape in FROM_THE_MIDDLE else int(rng.choice(sizes))
    return Workload(
        name=f"{shape}, {len(sizes)} sizes, noise {noise:.0%}" + (", drift" if drift_after else ""),
        gpu=f"seed {seed}",
        target=TARGET,
        max_epochs=MAX_EPOCHS,
        default_batch_size=default,
        points=points,
        paths=paths,
        drift=Drift(drift_after, tuple(sizes)) if drift_after else steady,
    )


def _place(index: int, middle: int, count: int) -> float:
    """0 to 1, with the middle batch size at exactly one half."""
    if index <= middle:
        return 0.5 * index / middle if middle else 0.5
    return 0.5 + 0.5 * (index - middle) / (count - 1 - middle)


def _points(
    size: int, knee: float, epoch_s: float, rng: np.random.Generator
) -> dict[float, tuple[float, float]]:
    """Power and time at each limit: a small batch leaves the board half idle, so that no limit binds."""
    busy = 1 / (1 + knee / size)
    draws_w = 40 + 200 * busy**0.5
    points = {}
    for limit_w in LIMITS_W:
        x = min(1.0, limit_w / draws_w)
        slower = 1 / (1 - 0.9 * (1 - x) ** 1.5)
        jitter = math.exp(rng.normal(0, 0.01))
        points[limit_w] = (min(draws_w, 0.95 * limit_w), epoch_s * (1 + knee / size) * slower * jitter)
    return points


def _stuck(paths: list[Path]) -> list[Path]:
    """The same runs, that end below the target for good."""
    most = PLATEAU * 0.9
    return [Path(math.inf, tuple((at, shown) for at, shown in p.curve if shown <= most)) for p in paths]


def _paths(mean: float, noise: float, rng: np.random.Generator, bent: float = 1.0) -> list[Path]:
    """Runs of about ``mean`` epochs, with a learning curve each; ``bent``: above 1 it begins slowly."""
    paths = []
    for _ in range(PATHS):
        needs = mean * math.exp(rng.normal(0, noise) - noise**2 / 2)
        shown = needs if math.isfinite(needs) else 2.0 * MAX_EPOCHS
        bend = bent * math.exp(rng.normal(0, 0.15))
        reached = max(1.0, round(needs)) if math.isfinite(needs) else math.inf
        marks = (
            (max(1, math.ceil(shown * (i / LEVELS) ** (2 * bend))), 0.9 * i / LEVELS)
            for i in range(1, LEVELS)
        )
        best = {epoch: metric for epoch, metric in marks if epoch < reached}
        paths.append(Path(reached, tuple(best.items())))
    return paths
