"""A search over an invented job, driven to its end, with its event log and its answer."""

import math

from zeus_ray.records import (
    BASELINE,
    Knobs,
    Measurement,
    Outcome,
    PowerProfile,
    Progress,
    SearchAnswer,
    SearchGoal,
    StopReason,
    Target,
    TrialReport,
)
from zeus_ray.reporting.show import SearchReport
from zeus_ray.reporting.trials_from_log import trials_from_log
from zeus_ray.search.search import Search
from zeus_ray.store.event_log import EventLog
from zeus_ray.store.events import CurvePoint, ProfileMeasured, RunEnded

SIZES = (32, 64, 128, 256)
EPOCHS = {32: 8, 64: 9, 128: 14, 256: 60}
EPOCH_S = {32: 60.0, 64: 40.0, 128: 30.0, 256: 26.0}
LIMITS_W = (100.0, 150.0, 200.0, 250.0)
TARGET = Target("accuracy", 0.9)


def profile(size, gpu="simulated V100"):
    points = tuple((w, 0.9 * w, EPOCH_S[size] * (1 + 0.3 * (250 / w - 1) ** 2)) for w in LIMITS_W)
    return PowerProfile(batch_size=size, gpu=gpu, max_power_w=250.0, points=points)


def run_to_its_end(search, knobs, measured_by, gpu="simulated V100"):
    """The event of one run: it reports once an epoch, and ends when the search says so."""
    size = knobs.batch_size
    limit_w = knobs.power_limit_w or search.power_limit_w(size) or 250.0
    point = next(p for p in profile(size).points if p.power_limit_w == limit_w)
    curve, stop, epoch = [], None, 0
    while stop is None:
        epoch += 1
        metric = 0.9 if epoch >= EPOCHS[size] else 0.9 - 0.6 * math.exp(-3 * epoch / EPOCHS[size])
        time_s = epoch * point.time_per_epoch_s
        used = Measurement(energy_j=time_s * point.average_power_w, time_s=time_s)
        curve.append(CurvePoint(float(epoch), metric, used.energy_j, used.time_s))
        progress = Progress(knobs=knobs, epoch=float(epoch), metric=metric, measurement=used, gpu=gpu)
        stop = search.should_stop(progress)
        if knobs.run_id == BASELINE and stop is None and metric >= 0.9:
            stop = StopReason.TARGET_REACHED
    reached = stop == StopReason.TARGET_REACHED
    cost = search.cost(used)
    report = TrialReport(
        run_id=knobs.run_id,
        batch_size=size,
        epochs=float(epoch),
        energy_j=used.energy_j,
        energy_j_err=0.01 * used.energy_j,
        time_s=used.time_s,
        power_limit_w=limit_w,
        cost=cost,
        cost_to_target=cost if reached else math.nan,
        target_reached=reached,
        stop_reason=stop.value,
        gpu=gpu,
        measured_by=measured_by,
    )
    outcome = Outcome(
        knobs=knobs, reached=reached, epochs=float(epoch), metric=metric, measurement=used, stop=stop, gpu=gpu
    )
    return RunEnded(outcome=outcome, target=TARGET, curve=tuple(curve), report=report)


def small_search(folder, *, measured_by="simulated"):
    """The report of the search, with its event log in ``folder``."""
    search = Search(
        batch_sizes=SIZES, default_batch_size=32, target=TARGET, max_power_w=250.0, recurring=False
    )
    log = EventLog.open(folder)
    search.observe_profile(profile(32))
    baseline = run_to_its_end(search, Knobs(run_id=BASELINE, batch_size=32, power_limit_w=250.0), measured_by)
    while (knobs := search.ask("simulated V100")) is not None:
        measured = ProfileMeasured(run_id=knobs.run_id, profile=profile(knobs.batch_size))
        log.append(measured)
        search.observe_profile(measured.profile)
        ended = run_to_its_end(search, knobs, measured_by)
        log.append(ended)
        search.tell(ended.outcome)
    search.tell_baseline(baseline.outcome, ())
    answer = SearchAnswer(
        best=search.best(),
        goal=SearchGoal(
            target=TARGET,
            eta=0.5,
            max_power_w=250.0,
            default_batch_size=32,
            batch_sizes=SIZES,
            max_epochs=100.0,
            seed=0,
        ),
        trade_offs=search.trade_offs(),
        expected_costs=search.expected_costs(),
        exploration=search.exploration(),
        history=str(folder),
        software={"Python": "3.11", "GPU driver": "580.95.05"},
    )
    events = log.read()
    trials = (*trials_from_log(events), *trials_from_log([_as_logged(baseline)]))
    return SearchReport(trials, best=answer.best, found=answer)


def _as_logged(event):
    from zeus_ray.store.event_log import LoggedEvent

    return LoggedEvent(number=0, at_s=0.0, event=event)
