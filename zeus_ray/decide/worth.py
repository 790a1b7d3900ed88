"""What it is worth to try a batch size, and to finish a run, in joules of cost over the runs to come."""

from __future__ import annotations

import math

import numpy as np

from zeus_ray.decide.outlook import Outlook
from zeus_ray.decide.settings import Settings
from zeus_ray.decide.value import Array, expected_saving, expected_up_to, mean_beyond

STOPS_AT = 2.0
"""A trial that goes wrong is noticed and stopped at about this many runs of the best known."""
PAYS_WITHIN = 0.75
"""What is learned must pay for itself within this share of the runs to come: jobs change before."""
TAILS, TAIL_SD = 2.0, 0.3
"""Runs that take long take longer than a log-normal says: how much wider it is there, and at least."""


def of_trying(outlook: Outlook, best: int, fails: Array, settings: Settings) -> Array:
    """Saving over the runs still to come, less the price, of one run at each batch size.

    ``fails``: the chance that a batch size never reaches the target. The price of a recurring job is
    what the run costs more than one of the best; of a search that ends, the whole run.
    """
    best_cost = float(outlook.cost[best])
    savings = [_saving(outlook, i, best_cost) for i in range(len(outlook.weights))]
    gain = _runs_to_come(settings) * (outlook.weights @ np.array(savings)) * (1 - fails)
    run_sd = np.sqrt(outlook.var + outlook.noise**2)
    price = expected_up_to(outlook.cost, run_sd, STOPS_AT * best_cost)
    price += fails * settings.beta * best_cost
    if settings.recurring:
        price -= best_cost  # the job has to run anyway
    net = gain - price
    net[best] = 0.0 if settings.recurring else -best_cost
    return np.asarray(net)


def of_finishing(
    outlook: Outlook,
    column: int,
    best: int,
    epoch: float,
    *,
    expected: tuple[float, float],
    dud: float,
    settings: Settings,
) -> tuple[float, float]:
    """Expected cost (J) to finish a run that is at ``epoch``, and what finishing may save later.

    ``expected``: mean and standard deviation of log epochs of this run. ``dud``: the chance,
    before it began, that it never reaches the target.
    """
    log_mean, log_sd = expected
    epoch_cost, best_cost = float(np.exp(outlook.epoch_cost.mean[column])), float(outlook.cost[best])
    if column == best and epoch <= math.exp(log_mean):
        return 0.0, 0.0  # as it should be: nothing new is cheaper than going on
    needed, dud = not_there_yet(expected, dud, epoch)
    ends = max(needed, min(settings.max_epochs, 2 * math.exp(log_mean) + epoch))
    left = ((1 - dud) * needed + dud * ends - epoch) * epoch_cost
    if column == best or epoch * epoch_cost >= best_cost:
        return left, 0.0
    own = outlook.epochs.var[column]
    learned_sd = np.array([log_sd * math.sqrt(own / (own + outlook.noise[column] ** 2))])
    mean = np.array([math.exp(log_mean + log_sd**2 / 2) * epoch_cost])
    saving = float(expected_saving(mean, learned_sd, best_cost)[0])
    return left, _runs_to_come(settings) * saving * (1 - dud)


def not_there_yet(expected: tuple[float, float], dud: float, epoch: float) -> tuple[float, float]:
    """Epochs that a run needs which is at ``epoch``, if it ever gets there; and the chance that it does not.

    ``expected``, ``dud``: as for :func:`of_finishing`.
    """
    log_mean, log_sd = expected
    late = epoch > math.exp(log_mean)
    needed, survives = mean_beyond(log_mean, max(TAILS * log_sd, TAIL_SD) if late else log_sd, epoch)
    return needed, dud / (dud + (1 - dud) * survives)


def _saving(outlook: Outlook, departure: int, best_cost: float) -> Array:
    """What one run at each batch size may teach us to save per run, under one departure.

    A run takes an epoch at least, so no saving is larger than one epoch leaves.
    """
    var = outlook.epochs.variances[departure] + outlook.epoch_cost.var
    mean = np.exp(outlook.epochs.means[departure] + outlook.epoch_cost.mean + (var + outlook.noise**2) / 2)
    learned_sd = var / np.sqrt(var + outlook.noise**2)
    saving = expected_saving(mean / (1 - outlook.failing), learned_sd, best_cost)
    return saving - expected_saving(mean, learned_sd, np.minimum(outlook.one_epoch, best_cost))


def _runs_to_come(settings: Settings) -> float:
    """Runs that a saving counts for."""
    return settings.horizon_runs * (PAYS_WITHIN if settings.recurring else 1.0)
