"""What a Tune controller has running, waiting and to come; the only file that reaches into it.

Ray Tune (2.60) starts every trial it finds PENDING, whatever a scheduler says. A trial that must wait
is therefore held as PAUSED, from where only ``choose_trial_to_run`` takes it, and Tune makes no new one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ray.tune import Trainable
from ray.tune.experiment import Trial
from ray.tune.result import SHOULD_CHECKPOINT, TIME_TOTAL_S
from ray.tune.trainable import FunctionTrainable

from zeus_ray.carbon.planning.width_planner import HOUR_S, RemainingWork
from zeus_ray.records import TrialReport

NONE_WAITING = -1
"""As ``max_pending_trials``: 0 would mean Tune's default."""
ENDLESS = 1_000_000
"""Trials of a search without end (``num_samples=-1``): it runs flat out until the deadline, and after it."""


def active(controller: Any) -> set[str]:  # noqa: ANN401 — Tune's
    """Ids of the trials that run, or have been given an actor to run in."""
    given = controller._tune_controller._trial_to_actor  # noqa: SLF001 — see the file's first lines
    return {t.trial_id for t in controller.get_trials() if t.status == Trial.RUNNING or t in given}


def waiting(controller: Any) -> list[Trial]:  # noqa: ANN401 — Tune's
    """The trials that wait to be started, in their order."""
    given = controller._tune_controller._trial_to_actor  # noqa: SLF001 — see the file's first lines
    return [t for t in controller.get_trials() if t.status == Trial.PENDING and t not in given]


def starting(controller: Any) -> int:  # noqa: ANN401 — Tune's
    """How many trials are being started."""
    given = controller._tune_controller._trial_to_actor  # noqa: SLF001 — see the file's first lines
    return sum(t.status == Trial.PENDING and t in given for t in controller.get_trials())


def is_full(controller: Any) -> bool:  # noqa: ANN401 — Tune's
    """Whether a trial waits for resources of the cluster: another one would, too."""
    return bool(controller._tune_controller._actor_manager.num_pending_actors)  # noqa: SLF001 — see the file's first lines


def hold(controller: Any) -> set[str]:  # noqa: ANN401 — Tune's
    """Take back every trial that waits to be started. Returns their ids."""
    held = waiting(controller)
    for trial in held:
        controller._set_trial_status(trial, Trial.PAUSED)  # noqa: SLF001 — Tune lists it among a scheduler's calls
    return {trial.trial_id for trial in held}


def allow_new(controller: Any, count: int) -> None:  # noqa: ANN401 — Tune's
    """How many new trials Tune may make and start by itself until it asks again."""
    controller._tune_controller.update_max_pending_trials(count or NONE_WAITING)  # noqa: SLF001 — see the file's first lines


def to_come(controller: Any) -> int:  # noqa: ANN401 — Tune's
    """Trials that the search has not made yet: as many as it may, though it may end earlier."""
    search = controller.search_alg
    if search.is_finished():
        return 0
    total = int(search.total_samples)
    return ENDLESS if total < 0 else max(0, min(ENDLESS, total - len(controller.get_trials())))


def end(controller: Any) -> None:  # noqa: ANN401 — Tune's
    """End the whole search."""
    controller._tune_controller.request_stop_experiment()  # noqa: SLF001 — see the file's first lines


def save(controller: Any) -> None:  # noqa: ANN401 — Tune's
    """Write down how every trial stands, now: Tune does so every ten seconds at best."""
    controller._tune_controller.checkpoint(force=True)  # noqa: SLF001 — see the file's first lines


def settled(controller: Any) -> set[tuple[str, str]]:  # noqa: ANN401 — Tune's
    """The trials that have ended or were paused, with their status: what a crash must not undo."""
    final = (Trial.TERMINATED, Trial.ERROR)
    return {
        (trial.trial_id, trial.status)
        for trial in controller.get_trials()
        if trial.status in final or (trial.status == Trial.PAUSED and trial.has_reported_at_least_once)
    }


def can_pause(trial: Trial, result: Mapping[str, Any]) -> bool:
    """Whether the trial can go on later from this result: nothing it did would be lost."""
    kind = trial.get_trainable_cls()
    if issubclass(kind, FunctionTrainable):
        return bool(result.get(SHOULD_CHECKPOINT, False))
    return kind.save_checkpoint is not Trainable.save_checkpoint


def progress_first(trial: Trial) -> float:
    """Sort key: the trial that has come furthest first, so that few are half done."""
    return -float((trial.last_result or {}).get(TIME_TOTAL_S, 0.0))


def emitted(trials: Iterable[Trial]) -> tuple[float, float]:
    """Grams of all trials so far, and the mean power of one (W); 0 where nothing is known."""
    reports = [TrialReport.from_result(trial.last_result or {}) for trial in trials]
    grams = [r.carbon_g for r in reports if r is not None and math.isfinite(r.carbon_g)]
    power_w = [r.average_power_w for r in reports if r is not None and r.average_power_w > 0]
    return math.fsum(grams), math.fsum(power_w) / len(power_w) if power_w else 0.0


class TrialHours:
    """How long trials take, in hours on the grid's clock: watched, since Tune's own times leave out starting.

    ``guess_h``: what the user says, until one has ended.
    """

    def __init__(self, guess_h: float | None) -> None:
        self._guess_h = guess_h
        self._spent_h: dict[str, float] = {}
        self._ended_h: dict[str, float] = {}
        self._seen_s = math.inf

    def observe(self, now_s: float, trials: Iterable[Trial], running: Collection[str]) -> None:
        """Count the time since the last call for the trials that run."""
        step_h = max(0.0, now_s - self._seen_s) / HOUR_S
        self._seen_s = now_s
        for trial in trials:
            name = trial.trial_id
            if name in running:
                self._spent_h[name] = self._spent_h.get(name, 0.0) + step_h
            elif trial.status == Trial.TERMINATED and name in self._spent_h:
                self._ended_h.setdefault(name, self._spent_h[name])

    def recall(self, trial: Trial, rate: float) -> None:
        """Of a trial that a restore brings back: what it took, or what its checkpoint saves of that.

        By Tune's own times, in lack of ours; ``rate``: seconds on the grid in one of those.
        """
        ended = trial.status == Trial.TERMINATED
        saved = trial.latest_checkpoint_result
        told = trial.last_result if ended else saved and saved.metrics
        spent_h = float((told or {}).get(TIME_TOTAL_S, 0.0)) * rate / HOUR_S
        if spent_h > 0:
            self._spent_h[trial.trial_id] = spent_h
            if ended:
                self._ended_h[trial.trial_id] = spent_h

    def left(self, unfinished: Iterable[Trial], to_come: int, affordable: float) -> RemainingWork | None:
        """What is left of the search; None where nobody knows how long a trial takes."""
        ended = list(self._ended_h.values())
        if not ended and self._guess_h is None:
            return None
        # Some trials stop early: the mean counts for the work, and the longest for what one may still take.
        whole_h = math.fsum(ended) / len(ended) if ended else float(self._guess_h or 0.0)
        longest_h = max([*ended, *([] if ended else [whole_h])])
        spent = [self._spent_h.get(trial.trial_id, 0.0) for trial in unfinished]
        # One that takes longer than any before it: as if it were nine tenths done.
        rest = [max(whole_h - h, h / 9) for h in spent]
        longest = [max(longest_h - h, h / 9) for h in spent]
        more_h = to_come * whole_h
        return RemainingWork(
            work_h=math.fsum(rest) + more_h,
            trials=len(rest) + to_come,
            longest_h=max([*longest, longest_h if to_come else 0.0]),
            affordable=affordable,
        )
