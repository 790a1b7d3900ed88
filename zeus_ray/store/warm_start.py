"""Histories of other jobs and searches, for a new one to begin with."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from zeus_ray.decide.curves import Curve
from zeus_ray.errors import BadInput
from zeus_ray.records import Outcome, PowerProfile, Target, from_json, from_plain
from zeus_ray.store.event_log import Events, folder_at
from zeus_ray.store.event_replay import learned

Learned = tuple[list[PowerProfile], list[tuple[Outcome, Curve]]]

log = logging.getLogger("zeus_ray")


def warm_start_runs(sources: Iterable[str | os.PathLike[str]], target: Target | None) -> Learned:
    """Profiles and finished runs of all ``sources``, as they count for ``target``.

    Args:
        sources: the folder of a recurring job (``HISTORY/JOB``, also on cloud storage), or the
            ``history_file`` of a ZeusSearcher.
        target: what the new search is to reach.

    Raises:
        BadInput: no such history, or a target without a value: nobody knows what those runs reached.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    profiles: list[PowerProfile] = []
    runs: list[tuple[Outcome, Curve]] = []
    for source in sources:
        if target is None or target.value is None:
            raise BadInput(
                f"warm_start={os.fspath(source)!r} needs a target to compare by: Target(metric, value)"
            )
        path = Path(os.fspath(source)).expanduser()
        found = _of_searcher(path, target) if path.is_file() else _of_job(os.fspath(source), target)
        if not any(found):
            raise BadInput(f"earlier history {os.fspath(source)!r} has no finished run and no profile")
        profiles += found[0]
        runs += found[1]
    return profiles, runs


def _of_job(source: str, target: Target) -> Learned:
    history, _slash, job = source.rstrip("/").rpartition("/")
    return learned(Events(folder_at(history or ".", job)).read(), target)


def _of_searcher(path: Path, target: Target) -> Learned:
    """A ZeusSearcher's lines. Learning curves are not in them, so its target must be the same."""
    profiles: list[PowerProfile] = []
    runs: list[tuple[Outcome, Curve]] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            event = json.loads(line)
            if "profile" in event:
                profiles.append(from_json(PowerProfile, event["profile"]))
            elif Target(**event["target"]) == target:
                runs.append((from_plain(Outcome, event["outcome"]), ()))
            else:
                log.warning("zeus-ray: line %d of %s had another target and is left out", number, path)
        except (ValueError, KeyError, TypeError, AttributeError):
            log.warning("zeus-ray: line %d of %s is damaged and left out", number, path)
    return profiles, runs
