"""The sweep of a finished search on the curve of its signal, from what its trials have reported."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.errors import BadInput
from zeus_ray.records import NAN, SearchGoal
from zeus_ray.reporting.pictures.picture import Picture
from zeus_ray.reporting.pictures.sweep_width_picture import sweep_picture
from zeus_ray.reporting.savings import Savings

POINTS = 240


def sweep_of_result(result: Any, saved: Savings, goal: SearchGoal) -> Picture:  # noqa: ANN401 — Ray is not typed
    """How many trials ran at each time, and what the signal was.

    Args:
        result: an ExperimentAnalysis.
        saved: of the same search.
        goal: of the search, with the text of its signal.

    Raises:
        BadInput: the signal cannot be opened, or no trial says when it ran.
        ZeusError: the provider does not answer.
    """
    periods = _periods(result)
    if not periods:
        raise BadInput("no trial says when it ran")
    signal = open_signal(goal.signal)
    times = np.linspace(min(begin for begin, _ in periods), max(end for _, end in periods), POINTS)
    steps = [
        (float(at), signal.at(float(at)), NAN, float(sum(begin <= at < end for begin, end in periods)))
        for at in times
    ]
    if not any(math.isfinite(value) for _, value, _, _ in steps):
        raise BadInput(f"the signal {goal.signal} has no value for the time of the search")
    return sweep_picture(
        steps,
        unit=goal.unit,
        gpus=saved.gpus,
        measured_by=saved.measured_by,
        title="Trials on the curve of the grid",
    )


def _periods(result: Any) -> list[tuple[float, float]]:  # noqa: ANN401 — see above
    """Begin and end (s since 1970) of each report's part of a trial: a paused trial has a gap."""
    found = []
    for frame in result.trial_dataframes.values():
        if {"timestamp", "time_this_iter_s"} <= set(frame.columns):
            rows = zip(frame["timestamp"], frame["time_this_iter_s"], strict=True)
            found += [(float(end) - float(lasted), float(end)) for end, lasted in rows]
    return found
