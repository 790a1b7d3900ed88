"""What other jobs and searches have learned, for a new search to begin with."""

from __future__ import annotations

import os
from collections.abc import Iterable

from zeus_ray.errors import BadInput
from zeus_ray.records import Outcome, PowerProfile, Target
from zeus_ray.store.event_log import EventLog
from zeus_ray.store.event_replay import judged_by
from zeus_ray.store.events import ProfileMeasured, RunEnded

KnownRun = tuple[Outcome, tuple[tuple[float, float], ...]]
"""An outcome and its learning curve: (epoch, best metric so far)."""
WarmStart = tuple[list[PowerProfile], list[KnownRun]]
"""The arguments of ``Search.warm_start``."""


def read_warm_start(sources: Iterable[str | os.PathLike[str]], target: Target | None) -> WarmStart:
    """Profiles and ended runs of all ``sources``, as they count for ``target``.

    Args:
        sources: event logs: the folder of a recurring job (``HISTORY/JOB``), or ``history`` of a
            ZeusSearcher; a path, or a URI that pyarrow knows.
        target: what the new search is to reach.

    Raises:
        BadInput: a source without an event, or a target without a value, by which no run can be judged.
        HistoryError: the storage does not answer.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    profiles: list[PowerProfile] = []
    runs: list[KnownRun] = []
    for source in (os.fspath(given) for given in sources):
        if target is None or target.value is None:
            raise BadInput(f"warm_start={source!r} needs a target to compare by: Target(metric, value)")
        events = [logged.event for logged in EventLog.open(source).read()]
        measured = [event.profile for event in events if isinstance(event, ProfileMeasured)]
        judged = [judged_by(event, target) for event in events if isinstance(event, RunEnded)]
        ended = [_known_run(event) for event in judged if event is not None]
        if not measured and not ended:
            raise BadInput(f"warm_start={source!r} has no profile, and no finished run of that metric")
        profiles += measured
        runs += ended
    return profiles, runs


def _known_run(event: RunEnded) -> KnownRun:
    return event.outcome, tuple((point.epoch, point.metric) for point in event.curve)
