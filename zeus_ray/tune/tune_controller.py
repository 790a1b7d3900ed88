"""What zeus-ray reads of Ray Tune's controller and asks of it: which trials run, wait and are to come.

Ray Tune (2.60) starts every trial that it finds PENDING, whatever a scheduler says. A trial that must wait is
therefore set to PAUSED, from where only ``choose_trial_to_run`` takes it, and Tune may create no new one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from ray.tune import Trainable
from ray.tune.experiment import Trial
from ray.tune.result import SHOULD_CHECKPOINT, TIME_TOTAL_S
from ray.tune.trainable import FunctionTrainable

from zeus_ray.carbon.planning.sweep_replanning import SweepState
from zeus_ray.records import StopReason, TrialReport
from zeus_ray.tune.stop_reason_in_loggers import ReasonCallbacks

NO_NEW_TRIALS = -1
"""As ``max_pending_trials``: 0 would mean Tune's default."""
ENDLESS = 1_000_000
"""Trials of a search without end (``num_samples=-1``), which runs at full width until it is stopped."""


class ControllerView:
    """What zeus-ray reads from a Tune controller, and what it asks of it.

    Args:
        tune_controller: as Tune passes it to a scheduler.
    """

    def __init__(self, tune_controller: Any) -> None:  # noqa: ANN401 — Tune's, not typed
        self.tune_controller = tune_controller
        self._inner = tune_controller._tune_controller  # noqa: SLF001 — see the file's first lines

    @property
    def trials(self) -> list[Trial]:
        """All trials that have been created."""
        return list(self.tune_controller.get_trials())

    def active(self) -> frozenset[str]:
        """Ids of the trials that run, or have an actor that starts."""
        return frozenset(t.trial_id for t in self.trials if t.status == Trial.RUNNING or self._has_actor(t))

    def waiting(self) -> list[Trial]:
        """The trials that wait to be started, in their order."""
        return [t for t in self.trials if t.status == Trial.PENDING and not self._has_actor(t)]

    def starting(self) -> int:
        """How many trials are being started."""
        return sum(t.status == Trial.PENDING and self._has_actor(t) for t in self.trials)

    def _has_actor(self, trial: Trial) -> bool:
        return trial in self._inner._trial_to_actor  # noqa: SLF001 — see the file's first lines

    def cluster_is_full(self) -> bool:
        """Whether a trial waits for resources of the cluster; another one would wait, too."""
        return bool(self._inner._actor_manager.num_pending_actors)  # noqa: SLF001 — see the file's first lines

    def to_come(self) -> int:
        """Trials that the search has not created yet: the most it may, though it may end earlier."""
        search = self.tune_controller.search_alg
        if search.is_finished():
            return 0
        total = int(search.total_samples)
        return ENDLESS if total < 0 else max(0, min(ENDLESS, total - len(self.trials)))

    def sweep_state(self, pausing: Collection[str]) -> SweepState:
        """The trials as a :class:`SweepPlanner` needs them; ``pausing``: those that are about to pause."""
        active, trials = self.active(), self.trials
        emitted_g, power_w = _emissions_and_power(trials)
        return SweepState(
            active=active,
            running=len(active - set(pausing)),
            unfinished=tuple(t.trial_id for t in trials if not t.is_finished()),
            ended=tuple(t.trial_id for t in trials if t.status == Trial.TERMINATED),
            to_come=self.to_come(),
            emitted_g=emitted_g,
            power_w=power_w,
        )

    # --- requests --------------------------------------------------------------------------------

    def pause_waiting(self) -> set[str]:
        """Pause every trial that waits to be started. Returns their ids."""
        paused = self.waiting()
        for trial in paused:
            trial.init_local_path()  # Tune does so when it starts a trial; its reporter fails where none is
            self.tune_controller._set_trial_status(trial, Trial.PAUSED)  # noqa: SLF001 — Tune lists it among a scheduler's calls
        return {trial.trial_id for trial in paused}

    def allow_new(self, count: int) -> None:
        """How many new trials Tune may create and start by itself until it asks again."""
        self._inner.update_max_pending_trials(count or NO_NEW_TRIALS)

    def end_search(self) -> None:
        """End the whole search."""
        self._inner.request_stop_experiment()

    def add_to_results(self, reasons: Mapping[str, StopReason]) -> None:
        """From now on, write the stop reason of a trial into its result before loggers see it.

        Args:
            reasons: by trial id; read at each result.
        """
        if not isinstance(self._inner._callbacks, ReasonCallbacks):  # noqa: SLF001 — see the file's first lines
            self._inner._callbacks = ReasonCallbacks(self._inner._callbacks, reasons)  # noqa: SLF001 — likewise

    def save_experiment(self) -> None:
        """Store the state of every trial now; by itself Tune does so every ten seconds at most."""
        self._inner.checkpoint(force=True)

    def is_saving(self) -> bool:
        """Whether Tune is still copying what it stores, which it does in another thread."""
        storage = getattr(self._inner, "_storage", None)
        copying = getattr(getattr(storage, "syncer", None), "_sync_process", None)
        return bool(copying and copying.is_running)


def can_pause(trial: Trial, result: Mapping[str, Any]) -> bool:
    """Whether the trial can be resumed from this result without losing work."""
    kind = trial.get_trainable_cls()
    if issubclass(kind, FunctionTrainable):
        return bool(result.get(SHOULD_CHECKPOINT, False))
    return kind.save_checkpoint is not Trainable.save_checkpoint


def trained_s(result: Mapping[str, Any] | None) -> float:
    """Seconds that a trial had trained at a result, by Tune's own time; 0 without a result."""
    return float((result or {}).get(TIME_TOTAL_S, 0.0))


def _emissions_and_power(trials: Collection[Trial]) -> tuple[float, float]:
    """Grams of all trials so far, and the mean power of one (W); 0 if it is unknown."""
    reports = [TrialReport.from_result(trial.last_result or {}) for trial in trials]
    grams = [r.carbon_g for r in reports if r is not None and math.isfinite(r.carbon_g)]
    power_w = [r.average_power_w for r in reports if r is not None and r.average_power_w > 0]
    return math.fsum(grams), math.fsum(power_w) / len(power_w) if power_w else 0.0
