"""What a search expected of each run when it was stopped, computed again from its event log."""

from __future__ import annotations

import math
from collections.abc import Iterable

from zeus_ray.errors import ZeusError
from zeus_ray.records import Measurement, Progress, SearchGoal
from zeus_ray.search.expected_epochs_of_run import ExpectedEpochs
from zeus_ray.search.search import Search
from zeus_ray.store.event_log import LoggedEvent
from zeus_ray.store.event_replay import replaying
from zeus_ray.store.events import RunEnded

USUAL_MAX_EPOCHS = 100.0
"""The default of a search, where an earlier version did not store its own."""


def expected_when_stopped(goal: SearchGoal, events: Iterable[LoggedEvent]) -> dict[str, ExpectedEpochs]:
    """By run that did not reach the target, what the search's model expected at its last report.

    A search with the same goal is told the same events in the same order. Runs that were stopped before
    anything had reached the target are left out: nothing was expected then.

    Args:
        goal: of the search.
        events: its event log.
    """
    try:
        search = Search(
            batch_sizes=goal.batch_sizes,
            default_batch_size=goal.default_batch_size,
            target=goal.target,
            max_power_w=None if math.isnan(goal.max_power_w) else goal.max_power_w,
            eta=goal.eta,
            max_slowdown=goal.max_slowdown,
            gpus=goal.gpus,
            max_epochs=USUAL_MAX_EPOCHS if math.isnan(goal.max_epochs) else goal.max_epochs,
        )
    except ZeusError:
        return {}
    found = {}
    for event in replaying(search, events):
        expected = _expected(search, event) if isinstance(event, RunEnded) else None
        if expected is not None:
            found[event.run_id] = expected
    return found


def _expected(search: Search, ended: RunEnded) -> ExpectedEpochs | None:
    outcome = ended.outcome
    if outcome.reached or not ended.curve or outcome.knobs.batch_size not in search.batch_sizes:
        return None
    search.add_pending(outcome.knobs)
    expected = None
    for point in ended.curve:
        used = Measurement(energy_j=point.energy_j, time_s=point.time_s)
        progress = Progress(
            knobs=outcome.knobs, epoch=point.epoch, metric=point.metric, measurement=used, gpu=outcome.gpu
        )
        expected = search.expected_epochs(progress)
    return expected
