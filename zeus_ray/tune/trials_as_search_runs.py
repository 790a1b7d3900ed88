"""The trials of Ray Tune as runs of a search: what they report, and how each of them ends."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from zeus_ray.records import (
    BASELINE,
    Knobs,
    MeasuredBy,
    PowerProfile,
    StopReason,
    TrialReport,
    from_json,
    from_plain,
    read_carried,
)
from zeus_ray.store.outcome_from_reports import ActiveRun, baseline_outcome, same_measurement
from zeus_ray.store.search_recorder import SearchRecorder

logger = logging.getLogger("zeus_ray")

RETRY = "-retry-"
"""Stands between the id of a run and the number of its retry, when a failed trial was resumed."""
UNMETERED = (
    "the trials report without a session, or by tune.report within one, so their energy is not known: the "
    "search compares batch sizes by time alone. Use two lines in the training function:\n"
    "    with zeus_ray.session(config) as run:   # around the training\n"
    "        run.report({...})                   # instead of tune.report\n"
    "or pass zeus_ray.metered(function) to Tune."
)
MIXED = (
    "a trial reports by tune.report beside run.report: a result without energy and time counts for nothing. "
    "Report everything by run.report"
)
SHARED = (
    "the trials share their GPUs, so the energy of one cannot be told from another's, no limit is set, and "
    "their results do not count: ask for whole GPUs (zeus_ray.resources()), or pass "
    "ZeusSearcher(count_shared=True) to search on time and on equal shares of the energy"
)

UNFINISHED = (
    "the power profile of batch size %d is not complete: limits measured: %d, and its trial has ended; the "
    "search uses what there is. Longer trainings, more reports, a shorter window_s or fewer power_limits_w "
    "complete it, unless no limit may be set, which the trial says"
)


class TrialRuns:
    """The runs of one search by trial id, until they have ended.

    Args:
        recorder: the search with its event log.

    Attributes:
        recorder: as given.
        active: runs that have not ended, and those that failed, which Tune may resume.
        baseline: the baseline once it has ended.
        measurement: the kind of measurement so far; "" before the first.
    """

    def __init__(self, recorder: SearchRecorder) -> None:
        self.recorder = recorder
        self.active: dict[str, ActiveRun] = {}
        self.baseline: ActiveRun | None = None
        self.measurement = ""
        self._warned: set[str] = set()

    def start(self, trial_id: str, knobs: Knobs) -> None:
        """A trial was suggested."""
        self.active[trial_id] = ActiveRun(knobs)

    def adopt(self, trial_id: str, config: Mapping[str, Any]) -> None:
        """Take over a trial of a restored experiment that was suggested after the snapshot was taken."""
        knobs = read_carried(config).get("knobs")
        if trial_id in self.active or knobs is None or self.was_told(config):
            return
        self.start(trial_id, from_plain(Knobs, knobs))
        if self.active[trial_id].knobs.run_id != BASELINE:
            self.recorder.search.add_pending(self.active[trial_id].knobs)

    def was_told(self, config: Mapping[str, Any]) -> bool:
        """Whether the search was told that the trial with this config has ended, and not by an error."""
        run_id = read_carried(config).get("knobs", {}).get("run_id")
        if run_id in self.recorder.told:
            return True
        retries = (told for told in self.recorder.told if RETRY in told)
        return any(told.partition(RETRY)[0] == run_id for told in retries)

    def observe(self, trial_id: str, result: Mapping[str, Any]) -> StopReason | None:
        """Take in a result. Returns why its trial should end now, or None. The same one twice counts once."""
        run = self._running(trial_id)
        if run is None:
            return None
        report = TrialReport.from_result(result)
        if report is None:
            self._warn(MIXED if run.report.measured_by != MeasuredBy.NONE else UNMETERED)
        else:
            self.measurement = same_measurement(self.measurement, report.measured_by)
            if report.shared and not self.recorder.count_shared:
                self._warn(SHARED)
        return self.recorder.observe(run, result)

    def end(self, trial_id: str, result: Mapping[str, Any] | None, *, error: bool) -> None:
        """A trial has ended; without a result its last one counts."""
        run = self._running(trial_id)
        if run is None:
            return
        if result is not None:
            self.observe(trial_id, result)
        if not error:
            self._warn_of_unfinished(run)
        if run.knobs.run_id == BASELINE:
            self.baseline = None if error else run
        elif result is None and not error and run.iteration == 0:  # it was removed before it began
            self.recorder.search.drop_pending(run.knobs.run_id)
        else:
            self.recorder.end(run, error=error)
        if not error:
            del self.active[trial_id]
        self._count_baseline()

    def _count_baseline(self) -> None:
        """Its epochs count for its batch size once there is a target, which the default may have set."""
        outcome = baseline_outcome(self.recorder.search.target, self.baseline)
        if self.baseline is not None and outcome is not None:
            curve = [(point.epoch, point.metric) for point in self.baseline.curve]
            self.recorder.search.tell_baseline(outcome, tuple(curve))

    def note_stop(self, trial_id: str, reason: StopReason) -> None:
        """A scheduler ends a trial: why, where the search itself has given no reason."""
        run = self.active.get(trial_id)
        if run is not None and run.stop is None:
            run.stop = reason

    def _warn_of_unfinished(self, run: ActiveRun) -> None:
        """Say once that a profile is not complete, unless the run was stopped by the search or in its trial.

        A run that ends in its trial, such as at the target, is said there.
        """
        report = run.report
        ended_otherwise = run.stop is None and not report.stop_reason and run.iteration > 0
        not_due = report.profile or report.measured_by == MeasuredBy.NONE or run.knobs.probe_limits_w == ()
        if ended_otherwise and not not_due and UNFINISHED not in self._warned:
            self._warned.add(UNFINISHED)
            so_far = report.profile_so_far
            count = len(from_json(PowerProfile, so_far).points) if so_far else 0
            logger.warning(f"zeus-ray: {UNFINISHED}", run.knobs.batch_size, count)  # noqa: G004

    def drop_all(self) -> None:
        """Their experiment is over: what has not ended is not coming."""
        for run_id in self.recorder.search.pending:
            self.recorder.search.drop_pending(run_id)
        self.active.clear()

    def _running(self, trial_id: str) -> ActiveRun | None:
        """The run of a trial that has not ended. One that has failed and reports again runs once more."""
        run = self.active.get(trial_id)
        search = self.recorder.search
        if run is None or run.knobs.run_id in (BASELINE, *search.pending):
            return run
        if run.knobs.run_id in self.recorder.told:
            return None
        name, _, count = run.knobs.run_id.partition(RETRY)
        knobs = dataclasses.replace(run.knobs, run_id=f"{name}{RETRY}{int(count or 0) + 1}")
        search.add_pending(knobs)
        self.start(trial_id, knobs)
        return self.active[trial_id]

    def _warn(self, text: str) -> None:
        """Log a warning once."""
        if text not in self._warned:
            self._warned.add(text)
            logger.warning("zeus-ray: %s", text)
