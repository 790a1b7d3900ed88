"""Every picture of a search that can be drawn, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable

from zeus_ray.errors import BadInput, HistoryError
from zeus_ray.records import SearchAnswer, Target
from zeus_ray.reporting.pictures.cost_picture import cost_picture
from zeus_ray.reporting.pictures.learning_curve_picture import learning_curve_picture
from zeus_ray.reporting.pictures.pareto_picture import pareto_picture
from zeus_ray.reporting.pictures.picture import Picture
from zeus_ray.reporting.pictures.search_payback_picture import search_payback_picture
from zeus_ray.reporting.savings import Savings
from zeus_ray.store.event_log import EventLog
from zeus_ray.store.events import RunEnded
from zeus_ray.store.expected_epochs_when_stopped import expected_when_stopped


def search_pictures(saved: Savings, found: SearchAnswer | None) -> tuple[list[Picture], list[str]]:
    """The pictures, and a sentence for each one that cannot be drawn.

    Args:
        saved: the answer against the baseline.
        found: what the experiment has stored; None: without it only trials can be drawn.
    """
    drawn, missing = [], []
    draw: dict[str, Callable[[], Picture]] = {"energy and time to the target": lambda: pareto_picture(saved)}
    if found is not None:
        draw["the expected cost of a training"] = lambda: cost_picture(saved, found.expected_costs)
        draw["learning curves"] = lambda: _learning_curves(found)
        if (account := found.exploration) is not None:
            draw["what the search cost"] = lambda: search_payback_picture(saved, account)
    for name, picture in draw.items():
        try:
            drawn.append(picture())
        except (BadInput, HistoryError) as error:
            missing.append(f"Not drawn: {name}, as {error}.")
    if found is None:
        missing.append("The experiment stores no answer of a search: only its trials are drawn.")
    return drawn, missing


def _learning_curves(found: SearchAnswer) -> Picture:
    events = EventLog.open(found.history).read() if found.history else []
    if not events:
        raise BadInput(f"the event log of the search is not on this machine ({found.history or 'unknown'})")
    runs = [logged.event for logged in events if isinstance(logged.event, RunEnded)]
    goal = found.goal
    target = goal.target if goal and goal.target else next((run.target for run in runs), Target("metric"))
    expected = expected_when_stopped(goal, events) if goal else {}
    return learning_curve_picture(runs, target, expected)
