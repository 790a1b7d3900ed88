"""From an event log to the state of a search: every event in its order, as the process before saw it."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable, Iterator

from zeus_ray.errors import ZeusError
from zeus_ray.records import NAN, Knobs, Measurement, Outcome, Progress, StopReason, Target
from zeus_ray.search.search import Search
from zeus_ray.store.event_log import LoggedEvent
from zeus_ray.store.events import CurvePoint, Event, ProfileMeasured, RunAsked, RunEnded

logger = logging.getLogger("zeus_ray")


def replay(search: Search, events: Iterable[LoggedEvent]) -> None:
    """Tell ``search`` all ``events``. Runs of batch sizes that are no longer offered are left out.

    Events that the search knows already, and those of runs that it does not know, are allowed: it may
    come from a snapshot that was taken before them.
    """
    for _event in replaying(search, events):
        pass


def replaying(search: Search, events: Iterable[LoggedEvent]) -> Iterator[Event]:
    """As :func:`replay`; each event is yielded before ``search`` is told of it."""
    asked: dict[str, Knobs] = {}
    for logged in events:
        yield logged.event
        try:
            _replay_event(search, logged.event, asked)
        except (ZeusError, ValueError, TypeError, ArithmeticError, LookupError) as error:
            kind, run_id = type(logged.event).__name__, logged.event.run_id
            logger.warning("zeus-ray: %s of run %s is impossible, and left out: %s", kind, run_id, error)


def _replay_event(search: Search, event: Event, asked: dict[str, Knobs]) -> None:
    if isinstance(event, RunAsked):
        if event.knobs.batch_size in search.batch_sizes:
            asked[event.run_id] = event.knobs
            search.replay_ask(event.knobs, event.gpu, energy_price=event.energy_price)
    elif isinstance(event, ProfileMeasured):
        search.observe_profile(event.profile)
    elif isinstance(event, RunEnded):
        _replay_end(search, event)
    elif event.crashed and event.run_id in asked:
        search.tell(Outcome(knobs=asked[event.run_id], reached=False, epochs=NAN, stop=StopReason.ERROR))
    else:
        search.drop_pending(event.run_id)


def _replay_end(search: Search, event: RunEnded) -> None:
    if event.outcome.knobs.batch_size not in search.batch_sizes:
        return
    judged = judged_by(event, search.target)
    if judged is None:
        search.drop_pending(event.run_id)
        return
    outcome = judged.outcome
    search.add_pending(outcome.knobs)
    for point in judged.curve:
        search.record_progress(
            Progress(
                knobs=outcome.knobs,
                epoch=point.epoch,
                metric=point.metric,
                measurement=_used(point),
                gpu=outcome.gpu,
            )
        )
    search.tell(outcome)


def judged_by(event: RunEnded, target: Target) -> RunEnded | None:
    """How an ended run counts for ``target``; None where it reported another metric.

    A run that ended at another target is cut where its curve crosses this one; a run that ended before
    this one would have needed more epochs, and counts as stopped.
    """
    outcome, then = event.outcome, event.target
    if target.metric and (then.metric, then.mode) != (target.metric, target.mode):
        logger.warning(
            "zeus-ray: run %s was judged by %s, not %s: left out", event.run_id, then.metric, target.metric
        )
        return None
    if target.value is None or then.value == target.value or outcome.stop == StopReason.OUT_OF_MEMORY:
        return event
    crossing = next((point for point in event.curve if target.reached(point.metric)), None)
    if crossing is not None:
        outcome = dataclasses.replace(
            outcome,
            reached=True,
            epochs=crossing.epoch,
            metric=crossing.metric,
            measurement=_used(crossing),
            stop=StopReason.TARGET_REACHED,
        )
        curve = tuple(point for point in event.curve if point.epoch <= crossing.epoch)
        return dataclasses.replace(event, outcome=outcome, curve=curve)
    if outcome.reached and not math.isnan(outcome.epochs):
        outcome = dataclasses.replace(outcome, reached=False, stop=StopReason.NOT_WORTH_IT)
    return dataclasses.replace(event, outcome=outcome)


def _used(point: CurvePoint) -> Measurement:
    return Measurement(energy_j=point.energy_j, time_s=point.time_s)
