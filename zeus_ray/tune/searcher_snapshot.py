"""The file that Ray Tune lets a ZeusSearcher save and restore."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import cloudpickle

from zeus_ray.errors import BadInput
from zeus_ray.records import Knobs, from_json, to_json
from zeus_ray.store.outcome_from_reports import ActiveRun
from zeus_ray.tune.remaining_trials_and_time import Remaining

SNAPSHOT_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class SearcherSnapshot:
    """The state of a ZeusSearcher.

    Attributes:
        search: JSON of ``Search.state``.
        runs: by trial id.
        told: ids of the runs that have ended, and not by an error.
        history: the folder of the event log.
        last_event: number of the last event that the search knows.
        waiting_knobs: a suggestion that waits for the other searcher.
        baseline_left: whether the baseline is still to run.
        baseline: the baseline once it has ended.
        measurement: the kind of measurement so far; "" before the first.
        suggested: trials suggested so far, over all experiments.
        remaining: what the experiment has left.
        asked_other: trials that the other searcher has suggested and was not told the end of.
    """

    search: str
    runs: dict[str, ActiveRun]
    told: set[str]
    history: str
    last_event: int
    waiting_knobs: Knobs | None
    baseline_left: bool
    baseline: ActiveRun | None
    measurement: str
    suggested: int
    remaining: Remaining
    asked_other: set[str]
    version: int = field(default=SNAPSHOT_VERSION)


def write_snapshot(path: str, snapshot: SearcherSnapshot, *foreign: object) -> None:
    """Write ``snapshot`` as JSON, and pickled the ``foreign`` objects, which may hold functions."""
    Path(path).write_bytes(cloudpickle.dumps((to_json(snapshot), foreign)))


def read_snapshot(path: str) -> tuple[SearcherSnapshot, tuple[Any, ...]]:
    """Inverse of :func:`write_snapshot`. Raises BadInput for a snapshot of another version."""
    text, foreign = cloudpickle.loads(Path(path).read_bytes())
    snapshot = from_json(SearcherSnapshot, text)
    if snapshot.version != SNAPSHOT_VERSION:
        raise BadInput(f"the snapshot has version {snapshot.version}; allowed: {SNAPSHOT_VERSION}")
    return snapshot, foreign
