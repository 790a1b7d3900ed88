"""Tells a search what its runs report, and stores it in the event log before the search moves on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from zeus_ray.errors import HistoryError
from zeus_ray.records import BASELINE, PowerProfile, StopReason, read_metric, to_json
from zeus_ray.search.search import Search
from zeus_ray.store.event_log import EventLog
from zeus_ray.store.event_replay import replay
from zeus_ray.store.events import Event, ProfileMeasured, RunEnded
from zeus_ray.store.implausible_target import REPORTS, target_question
from zeus_ray.store.outcome_from_reports import ActiveRun

logger = logging.getLogger("zeus_ray")


class SearchRecorder:
    """A search with its event log.

    Attributes:
        search: what is told.
        log: what is appended to.
        told: ids of the runs that have ended, and not by an error: none of them should run again.
        count_shared: runs count although another job used their GPU.
    """

    def __init__(self, search: Search, log: EventLog, *, count_shared: bool = False) -> None:
        self.search = search
        self.log = log
        self.count_shared = count_shared
        self.told: set[str] = set()
        self._unstored: list[Event] = []
        self._recorded_profiles: set[PowerProfile] = set()
        self._first_metrics: dict[str, list[float]] = {}
        self._asked = False

    def observe(self, run: ActiveRun, result: Mapping[str, Any]) -> StopReason | None:
        """Take in a result; the same one twice counts once. Returns why the run should end, or None."""
        if run.update(result, self.search.target):
            self._learn_profile(run)
            self._ask_about_target(run, result)
            if run.knobs.run_id != BASELINE:
                run.stop = self.search.should_stop(run.progress())
        return run.stop

    def _ask_about_target(self, run: ActiveRun, result: Mapping[str, Any]) -> None:
        """Warn once, by the first run with enough reports, where the target cannot be meant."""
        metrics = self._first_metrics.setdefault(run.knobs.run_id, [])
        if self._asked or len(metrics) >= REPORTS:
            return
        metrics.append(read_metric(result, self.search.target.metric))
        question = target_question(self.search.target, metrics)
        if question:
            self._asked = True
            logger.warning("zeus-ray: %s", question)

    def end(self, run: ActiveRun, *, error: bool) -> None:
        """Tell how a run ended, by itself or because it was stopped; ``error``: it has failed."""
        self._learn_profile(run, ended=True)
        event = run.ended(self.search.target, error=error, count_shared=self.count_shared)
        self.record(event)
        self.search.tell(event.outcome)
        self._note_told(event)
        run.curve = []  # it is in the log; snapshots of many ended runs stay small

    def record(self, event: Event) -> None:
        """Append to the log. A storage that refuses is reported, with the event: it ends no training.

        What could not be stored is tried again with the next event.
        """
        self._unstored.append(event)
        try:
            while self._unstored:
                self.log.append(self._unstored[0])
                del self._unstored[0]
        except HistoryError as error:
            kind, content = type(event).__name__, to_json(event)
            logger.error("zeus-ray: %s. Not stored: %s of run %s: %s", error, kind, event.run_id, content)  # noqa: TRY400 — the message says it all

    def catch_up(self, last_event: int) -> None:
        """Tell the search, which comes from a snapshot, what was stored after event ``last_event``."""
        events = self.log.read(after=last_event)
        replay(self.search, events)
        for logged in events:
            self._note_told(logged.event)

    def _learn_profile(self, run: ActiveRun, *, ended: bool = False) -> None:
        profile = run.take_profile(ended=ended)
        if profile is not None and profile not in self._recorded_profiles:
            self._recorded_profiles.add(profile)
            self.record(ProfileMeasured(run_id=run.knobs.run_id, profile=profile))
            self.search.observe_profile(profile)

    def _note_told(self, event: Event) -> None:
        if isinstance(event, RunEnded) and event.outcome.stop != StopReason.ERROR:
            self.told.add(event.run_id)
