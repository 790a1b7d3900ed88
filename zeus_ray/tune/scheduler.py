"""``EnergyScheduler``: stops trials that have reached the target, and trials that cost too much."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import ray
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from zeus_ray.errors import BadInput
from zeus_ray.gpus import discovery
from zeus_ray.records import (
    RESERVED,
    EmissionsConfig,
    StopReason,
    Target,
    TrialReport,
    result_key,
    to_plain,
)
from zeus_ray.training.session import carried_settings
from zeus_ray.tune.controller import ControllerView
from zeus_ray.tune.elastic import Elastic
from zeus_ray.tune.resources import DriverOnlyResources
from zeus_ray.tune.searcher import ZeusSearcher

logger = logging.getLogger("zeus_ray")


class EnergyScheduler(TrialScheduler):  # type: ignore[misc]  # Ray is not typed
    """Stops a trial at the target, or when going on would cost more than it can be worth.

    With a :class:`ZeusSearcher` its search decides. With any other searcher a trial is stopped when one
    more epoch would take its cost over ``beta`` times that of the cheapest trial that has reached the
    target (Zeus, section 4.3); the trial itself stops at the ``target``. Trials that are not metered are
    not stopped.

    Args:
        searcher: the ZeusSearcher given to Tune (itself, also under a ConcurrencyLimiter).
        base: the scheduler that decides about all other trials; None: first in, first out.
        target: what counts as trained, if there is no ZeusSearcher.
        beta: see above, if there is no ZeusSearcher.
        carbon: an :class:`Elastic`, which pauses and resumes trials by carbon intensity or price; or a
            :class:`zeus_ray.records.EmissionsConfig`, with which each trial reports ``zeus/carbon_g`` or
            ``zeus/price``, and power limits follow the signal if it has an ``eta``.

    Raises:
        BadInput: beta of 1 or less, or a target beside a searcher, which has its own.
    """

    def __init__(
        self,
        searcher: ZeusSearcher | None = None,
        *,
        base: TrialScheduler | None = None,
        target: Target | None = None,
        beta: float = 2.0,
        carbon: Elastic | EmissionsConfig | None = None,
    ) -> None:
        super().__init__()
        if beta <= 1:
            raise BadInput(
                f"beta is {beta}; allowed: above 1, so that a run may cost a little more than the best"
            )
        if searcher is not None and target is not None:
            raise BadInput(
                "both a searcher and a target are given; the searcher has a target: give one of them"
            )
        self._searcher = searcher
        self._base = base or FIFOScheduler()
        self._target = target
        self._beta = beta
        self._cheapest = math.inf
        self._reasons: dict[str, StopReason] = {}
        self._elastic = carbon if isinstance(carbon, Elastic) else None
        self._emissions = carbon.emissions if isinstance(carbon, Elastic) else carbon
        self._saved: set[tuple[str, str]] = set()
        self._told: list[Trial] = []

    # --- decisions -------------------------------------------------------------------------------

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Stop, pause, or do as the base scheduler says."""
        reason = self._why_stop(trial, result)
        if reason is not None:
            self._reasons[trial.trial_id] = reason
            return str(TrialScheduler.STOP)
        if self._base.metric in result and _is_nan(result[self._base.metric]):
            decision = str(TrialScheduler.CONTINUE)  # Tune's schedulers fail on NaN
        else:
            decision = str(self._base.on_trial_result(tune_controller, trial, result))
        if decision == TrialScheduler.CONTINUE and self._elastic is not None:
            pause = self._elastic.should_pause(ControllerView(tune_controller), trial, result)
            return str(TrialScheduler.PAUSE) if pause else decision
        return decision

    def _why_stop(self, trial: Trial, result: Mapping[str, Any]) -> StopReason | None:
        if self._searcher is not None:
            return self._searcher.observe(trial.trial_id, result)
        report = TrialReport.from_result(result)
        if report is None:
            return None
        self._learn_cheapest(report)
        per_epoch = report.cost / max(1.0, float(result.get("training_iteration", 1)))
        over = report.cost + per_epoch > self._beta * self._cheapest
        return StopReason.COST_CAP if over else None

    def _learn_cheapest(self, report: TrialReport | None) -> None:
        """Keep the lowest cost at which a trial has reached the target."""
        if report is not None and not math.isnan(report.cost_to_target):
            self._cheapest = min(self._cheapest, report.cost_to_target)

    # --- passed on to the base scheduler ---------------------------------------------------------

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:  # noqa: ANN401
        """The base scheduler's metric and mode; the searcher's if Tune was given none."""
        if self._searcher is not None:
            metric, mode = metric or self._searcher.metric, mode or self._searcher.mode
        super().set_search_properties(metric, mode, **spec)
        if self._base.metric is None or not metric:
            self._base.set_search_properties(metric, mode, **spec)
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """Check the trial's resources, complete its config, and after a restore learn from it."""
        _check_resources(trial)
        target = {"target": to_plain(self._target)} if self._target else {}
        trial.config.setdefault(RESERVED, {**carried_settings(), **target})
        if self._emissions is not None:
            trial.config[RESERVED]["emissions"] = to_plain(self._emissions)
        self._learn_cheapest(TrialReport.from_result(trial.last_result or {}))
        if self._searcher is not None and self._searcher.was_told(trial.config):
            self._told.append(trial)
        if self._elastic is not None:
            self._elastic.restore_trial(trial)
        self._base.on_trial_add(tune_controller, trial)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:  # noqa: ANN401
        """Write the stop reason into the last result, which tables and the searcher read."""
        reason = self._reasons.pop(trial.trial_id, None)
        if reason is not None and trial.last_result:
            trial.last_result[result_key("stop_reason")] = result[result_key("stop_reason")] = reason.value
        self._base.on_trial_complete(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """A trial has failed."""
        self._base.on_trial_error(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """A trial that was not running has been removed."""
        self._base.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:  # noqa: ANN401
        """Which trial runs next. Trials that ended or paused since the last call are stored first."""
        self._end_told_trials(tune_controller)
        controller = ControllerView(tune_controller)
        settled = controller.settled()
        if settled - self._saved:
            controller.save_experiment()
        self._saved = settled
        if self._elastic is not None:
            return self._elastic.choose(controller, self._base)
        return self._base.choose_trial_to_run(tune_controller)

    def _end_told_trials(self, tune_controller: Any) -> None:  # noqa: ANN401
        """After a restore, end the trials whose outcome the search has and whose end Tune had not stored."""
        while self._told:
            trial = self._told.pop()
            if not trial.is_finished():
                logger.warning(
                    "zeus-ray: trial %s had ended before the crash and is not run again", trial.trial_id
                )
                tune_controller.stop_trial(trial)

    def debug_string(self) -> str:
        """One line for Tune's progress."""
        own = "EnergyScheduler" if self._elastic is None else self._elastic.progress()
        return f"{own} over {self._base.debug_string()}"

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: Tune never calls this, and a restored trial's last result has what is needed."""

    def restore(self, checkpoint_path: str) -> None:
        """See :meth:`save`."""


def _is_nan(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _check_resources(trial: Trial) -> None:
    """Raise BadInput for a trial without a GPU on a cluster that has GPUs: it would measure nothing."""
    if isinstance(trial.placement_group_factory, DriverOnlyResources):
        return  # its workers have the GPUs
    requested = trial.placement_group_factory.required_resources.get("GPU", 0)
    present = ray.cluster_resources().get("GPU", 0) if ray.is_initialized() else 0
    if present and not requested and not discovery.is_virtual(discovery.gpu_source()):
        raise BadInput(
            f"trials ask for no GPU, but the cluster has {present:g}: pass "
            "resources_per_trial=zeus_ray.resources(), or tune.with_resources(train, zeus_ray.resources()); "
            "if the trial starts Ray Train, zeus_ray.resources(gpus=0)"
        )
