"""From a history to the search it belongs to: every event in its order, as the first life saw it."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

from zeus_ray.decide import Search
from zeus_ray.decide.curves import Curve
from zeus_ray.records import (
    NAN,
    Knobs,
    Measurement,
    Outcome,
    PowerProfile,
    Progress,
    StopReason,
    Target,
    from_json,
    from_plain,
)
from zeus_ray.store.event_log import ASK, END, LOST, PROFILE, Event

Point = tuple[float, float, float, float]
"""(epoch, best metric so far, energy_j, time_s) where a run got better."""

log = logging.getLogger("zeus_ray")


def replay(search: Search, events: Iterable[Event]) -> None:
    """Tell ``search`` all of it. Runs of batch sizes that are no longer offered are left out."""
    knobs: dict[str, Knobs] = {}
    for event in events:
        if event.kind == ASK:
            asked = from_plain(Knobs, event.body["knobs"])
            if asked.batch_size in search.batch_sizes:
                knobs[event.run] = asked
                search.replay_ask(asked, event.body["gpu"], energy_price=event.body.get("energy_price", 1.0))
        elif event.kind == PROFILE:
            search.observe_profile(from_json(PowerProfile, event.body["profile"]))
        elif event.kind == END and event.run in knobs:
            _end(search, event)
        elif event.kind == LOST and event.run in knobs:
            _lost(search, knobs[event.run], event.body)


def _end(search: Search, event: Event) -> None:
    outcome, curve = retargeted(event, search.target)
    if outcome is None:
        search.drop_pending(event.run)
        return
    for epoch, metric, energy_j, time_s in curve:
        used = Measurement(energy_j=energy_j, time_s=time_s)
        search.record_progress(
            Progress(knobs=outcome.knobs, epoch=epoch, metric=metric, measurement=used, gpu=outcome.gpu)
        )
    search.tell(outcome)


def _lost(search: Search, knobs: Knobs, body: Mapping[str, Any]) -> None:
    """A process that died may have died of its batch size; one that was interrupted has not."""
    if body["crashed"]:
        search.tell(Outcome(knobs=knobs, reached=False, epochs=NAN, stop=StopReason.ERROR))
    else:
        search.drop_pending(knobs.run_id)


def learned(
    events: Iterable[Event], target: Target
) -> tuple[list[PowerProfile], list[tuple[Outcome, Curve]]]:
    """Profiles and finished runs of a history, for another search to begin with."""
    profiles, runs = [], []
    for event in events:
        if event.kind == PROFILE:
            profiles.append(from_json(PowerProfile, event.body["profile"]))
        elif event.kind == END:
            outcome, curve = retargeted(event, target)
            if outcome is not None:
                runs.append((outcome, tuple((epoch, metric) for epoch, metric, *_used in curve)))
    return profiles, runs


def retargeted(event: Event, target: Target) -> tuple[Outcome | None, list[Point]]:
    """How an ended run counts for ``target``, and its curve; None where it says nothing of that metric.

    A run that was ended at another target than today's is cut at today's, if its curve got there; if
    not, it would have needed more.
    """
    outcome = from_plain(Outcome, event.body["outcome"])
    curve = [(p[0], p[1], p[2], p[3]) for p in event.body["curve"]]
    then = Target(**event.body["target"])
    if target.metric and (then.metric, then.mode) != (target.metric, target.mode):
        log.warning(
            "zeus-ray: run %s was judged by %s, not %s: left out", event.run, then.metric, target.metric
        )
        return None, []
    if target.value is None or then.value == target.value or outcome.stop == StopReason.OUT_OF_MEMORY:
        return outcome, curve
    crossing = next((point for point in curve if target.reached(point[1])), None)
    if crossing is not None:
        epoch, metric, energy_j, time_s = crossing
        used = Measurement(energy_j=energy_j, time_s=time_s)
        done = dataclasses.replace(
            outcome,
            reached=True,
            epochs=epoch,
            metric=metric,
            measurement=used,
            stop=StopReason.TARGET_REACHED,
        )
        return done, [point for point in curve if point[0] <= epoch]
    if outcome.reached and not math.isnan(outcome.epochs):
        return dataclasses.replace(outcome, reached=False, stop=StopReason.NOT_WORTH_IT), curve
    return outcome, curve
