"""Around a run of a recurring job: what is given up before it, what it may be on, what it is asked to do."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Container, Iterable, Iterator

from zeus_ray.decide import Search
from zeus_ray.errors import BadInput, NoDevice, TargetNotReached
from zeus_ray.gpus import discovery as discover
from zeus_ray.jobs.process_info import ProcessInfo
from zeus_ray.records import Knobs, MeasuredBy
from zeus_ray.store.event_log import ASK, END, LOST, Event

SILENT_S, SILENT_FIRST_S = 3600.0, 86_400.0
TIMES_THE_LONGEST = 3.0
"""A run on another machine is given up after three times the longest so far, an hour at least; a day
where none has ended yet. Should it end after all, its end counts."""
REAL = (MeasuredBy.COUNTER, MeasuredBy.POWER_INTEGRAL)
VIRTUAL = (MeasuredBy.SIMULATED, MeasuredBy.REPLAY)

log = logging.getLogger("zeus_ray")


def lost_runs(events: Iterable[Event], ours: Container[str]) -> Iterator[tuple[str, str]]:
    """Runs that nobody else will tell of, and why: their process is gone, or silent for too long.

    ``ours``: runs of this process that are under way.
    """
    known = list(events)
    asks = {event.run: event for event in known if event.kind == ASK}
    ends = {event.run: event for event in known if event.kind == END}
    over = {event.run for event in known if event.kind in (END, LOST)}
    longest_s = max((end.at_s - asks[run].at_s for run, end in ends.items() if run in asks), default=None)
    patience_s = SILENT_FIRST_S if longest_s is None else max(SILENT_S, TIMES_THE_LONGEST * longest_s)
    for run, ask in asks.items():
        why = _why_lost(ask, patience_s) if run not in over and run not in ours else ""
        if why:
            yield run, why


def next_knobs(search: Search, gpu: str, run_id: str, energy_price: float = 1.0) -> Knobs:
    """The search's answer; the default as it is where the search can give none, for the job must run."""
    try:
        knobs = search.ask(gpu, run_id, energy_price=energy_price)
    except TargetNotReached as error:
        log.warning("zeus-ray: %s", error)
        knobs = None
    if knobs is None:
        knobs = Knobs(run_id=run_id, batch_size=search.default_batch_size)
        search.add_pending(knobs)
    return knobs


def check_one_kind_of_measurement(events: Iterable[Event]) -> None:
    """Simulated and real joules in one history would be nonsense."""
    virtual = discover.is_virtual(discover.gpu_source())
    unlike = REAL if virtual else VIRTUAL
    seen = {event.body["report"]["measured_by"] for event in events if event.kind == END}
    then = next((kind for kind in unlike if kind in seen), None)
    if then is not None:
        raise BadInput(
            f"energy in this history is by {then}, but {discover.GPU_VARIABLE}={discover.gpu_source()} now: "
            "a history needs one kind; give the other one another history or job"
        )


def _why_lost(ask: Event, patience_s: float) -> str:
    """Why a run that has not ended will not end any more; "" while it may."""
    alive = ProcessInfo.from_dict(ask.body["place"]).alive()
    if alive is False:
        return "its process is gone"
    silent_s = time.time() - ask.at_s
    if alive is None and silent_s > patience_s:
        return f"nothing was heard of it from another machine for {silent_s / 3600:.1f} h"
    return ""


def gpu_here(gpus: int) -> str:
    """The kind of GPU a run in this process would be on; "" without one."""
    try:
        source = discover.gpu_source()
        boards = discover.open_gpus(source)
    except NoDevice:
        return ""
    try:
        chosen = discover.visible_gpus(source, os.environ, boards)[:gpus]
        return " + ".join(dict.fromkeys(board.name for board in chosen))
    finally:
        for board in boards:
            board.close()
