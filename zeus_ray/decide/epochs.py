"""How many epochs a batch size needs, and what an epoch costs: beliefs over all batch sizes.

Evidence for the shapes. Epochs: to a given loss, training takes S(b) = S_min (1 + B/b) steps, B the
gradient noise scale (McCandlish et al., arXiv 1812.06162), so epochs are E_min (1 + b/B): flat for
small batches, proportional to b for large ones. Epoch cost: a step takes a fixed time and a time
per sample, so an epoch costs a (1 + A/b). B and A are unknown over several orders of magnitude.
What does not fit (small batches that train worse, a learning rate that does not scale) is left to
the smooth departure.

Noise from run to run is multiplicative and learned from repeated runs. Older runs count for less.
A run that was stopped says that it would have needed more; what its learning curve showed by then
says how much more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zeus_ray.decide.curves import Forecast
from zeus_ray.decide.smooth import Belief, Family
from zeus_ray.decide.value import Array

HYPOTHESES = 15
BEYOND_OCTAVES = 3.0
"""B and A may lie this far outside the batch sizes on offer."""
EPOCHS_DEPART = ((0.2, 0.03, 0.35), (0.3, 0.1, 0.4), (0.6, 0.15, 0.18), (1.2, 0.2, 0.07))
EPOCH_COST_DEPARTS = ((0.1, 0.02, 1.0),)
BUSY_OCTAVES = 1.5
"""How well the power drawn tells A."""
PRIOR_NOISE_SD = 0.15
PRIOR_NOISE_ARMS = 2.0
OWN_NOISE_RUNS = 4.0
"""Noise from run to run: what is assumed, what that weighs in batch sizes, and what the common noise
of all batch sizes weighs in runs of one."""
FADING_VAR = 0.0002
"""Variance that an observation gains with each later run."""
CHANGED_VAR = 0.16
"""Variance that all older observations gain when the job has changed."""
NEWEST = 200
"""Older observations than this many have faded."""


@dataclass(frozen=True)
class Observation:
    """log epochs of a run at a batch size; ``extra_var``: beyond noise from run to run (0 if it reached)."""

    batch_size: int
    log_epochs: float
    extra_var: float
    number: int


def epochs_family(sizes: Sequence[int]) -> Family:
    """Shapes log(1 + b/B)."""
    log2 = np.log2(np.asarray(sizes, dtype=float))
    knees = _knees(log2)
    return Family(
        log2,
        np.log1p(2.0 ** (log2[None, :] - knees[:, None])),
        departures=EPOCHS_DEPART,
        octaves=2.0,
        floor=0.0,
    )


def epoch_cost_family(sizes: Sequence[int], busy: float | None, at_size: int) -> Family:
    """Shapes log(1 + A/b). ``busy``: the share of the board in use at ``at_size``, where known.

    A board that is b / (A + b) of the time at work draws about that share of the way from idle to
    its maximum: how much power one batch size draws hints at what others would cost.
    """
    log2 = np.log2(np.asarray(sizes, dtype=float))
    knees = _knees(log2)
    priors = None
    if busy is not None:
        expected = math.log2(at_size * (1 - busy) / busy)
        priors = np.exp(-0.5 * ((knees - expected) / BUSY_OCTAVES) ** 2)
        priors /= priors.sum()
    return Family(
        log2,
        np.log1p(2.0 ** (knees[:, None] - log2[None, :])),
        departures=EPOCH_COST_DEPARTS,
        octaves=3.0,
    )


def _knees(log2: Array) -> Array:
    return np.linspace(log2.min() - BEYOND_OCTAVES, log2.max() + BEYOND_OCTAVES, HYPOTHESES)


def noise_sd(sizes: Sequence[int], observations: Sequence[Observation]) -> Array:
    """Standard deviation of log epochs from run to run, at each batch size.

    Batch sizes differ in it, so many quiet runs of one say little of another: each counts at most
    once towards what is common to all, and then learns its own from there.
    """
    by_size: dict[int, list[float]] = {}
    for seen in observations[-NEWEST:]:
        if seen.extra_var == 0:
            by_size.setdefault(seen.batch_size, []).append(seen.log_epochs)
    squares = {size: float(np.var(logs)) * len(logs) for size, logs in by_size.items()}
    freedom = {size: len(logs) - 1 for size, logs in by_size.items()}
    total, weight = PRIOR_NOISE_ARMS * PRIOR_NOISE_SD**2, PRIOR_NOISE_ARMS
    for size in (size for size in by_size if freedom[size]):
        counts = min(1.0, freedom[size] / 2)
        total, weight = total + counts * squares[size] / freedom[size], weight + counts
    common = total / weight
    own = [
        (squares.get(b, 0.0) + OWN_NOISE_RUNS * common) / (freedom.get(b, 0) + OWN_NOISE_RUNS) for b in sizes
    ]
    return np.sqrt(own)


def believe(
    family: Family, sizes: Sequence[int], observations: Sequence[Observation], noise: Array, changed_at: int
) -> Belief:
    """The belief on log epochs. ``changed_at``: number of the first observation of the job as it is now."""
    column = {size: i for i, size in enumerate(sizes)}
    precision, weighted = np.zeros(len(sizes)), np.zeros(len(sizes))
    newest = observations[-1].number if observations else 0
    for seen in observations[-NEWEST:]:
        i = column.get(seen.batch_size)
        if i is None:
            continue
        old = CHANGED_VAR if seen.number < changed_at else 0.0
        weight = 1.0 / (noise[i] ** 2 + seen.extra_var + FADING_VAR * (newest - seen.number) + old)
        precision[i] += weight
        weighted[i] += weight * seen.log_epochs
    at = [int(i) for i in np.flatnonzero(precision)]
    return family.given(at, weighted[at] / precision[at], 1.0 / precision[at])


def never(
    belief: Belief, column: int, noise: Array, forecast: Forecast | None, *, prior: float, max_epochs: float
) -> float:
    """Chance that a run never reaches the target, given what its learning curve shows.

    Of runs that never do, half learn as if they needed some most-allowed number of epochs; half look like
    any other for now.
    """
    if forecast is None or not 0 < prior < 1:
        return prior
    spread = belief.variances[:, column] + noise[column] ** 2 + forecast.var
    works = float(belief.weights @ _density(forecast.log_epochs - belief.means[:, column], spread))
    slow = float(_density(np.array(forecast.log_epochs - math.log(max_epochs)), np.array(1 + forecast.var)))
    likely = prior * (works + slow) / 2
    return likely / (likely + (1 - prior) * works) if likely > 0 else prior


def _density(off: Array, var: Array) -> Array:
    return np.asarray(np.exp(-0.5 * off**2 / var) / np.sqrt(var))


def of_run(belief: Belief, column: int, noise: Array, forecast: Forecast | None) -> tuple[float, float]:
    """Mean and standard deviation of log epochs of one run: the belief, and its learning curve so far.

    A curve far from what was believed makes the departure likelier under which it isn't.
    """
    weights, means = belief.weights, belief.means[:, column]
    variances = belief.variances[:, column] + noise[column] ** 2
    if forecast is not None:
        spread = variances + forecast.var
        off = forecast.log_epochs - means
        fit = -0.5 * (off**2 / spread + np.log(spread))
        weights = weights * np.exp(fit - fit.max())
        weights = weights / weights.sum()
        means, variances = means + variances / spread * off, variances * forecast.var / spread
    mean = float(weights @ means)
    return mean, math.sqrt(float(weights @ (variances + (means - mean) ** 2)))
