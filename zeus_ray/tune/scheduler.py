"""``EnergyScheduler``: ends a trial that has reached the target, and one that costs too much."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping
from typing import Any

import ray
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from zeus_ray.errors import BadInput
from zeus_ray.gpus import discovery as discover
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
from zeus_ray.tune import controller as workload
from zeus_ray.tune.elastic import Elastic
from zeus_ray.tune.resources import DriverOnly
from zeus_ray.tune.searcher import ZeusSearcher

log = logging.getLogger("zeus_ray")


class EnergyScheduler(TrialScheduler):  # type: ignore[misc]  # Ray is not typed
    """Stops a trial at the target, or when going on would cost more than it can be worth.

    With a :class:`ZeusSearcher` its search decides. With any other searcher: a trial is stopped
    at the ``target``, or when one epoch more would take its cost over ``beta`` times
    the cheapest trial that has (Zeus, section 4.3). Trials that are not metered are left alone.

    Args:
        searcher: the ZeusSearcher given to Tune (itself, also under a ConcurrencyLimiter).
        base: the scheduler to ask where we let a trial go on; None: first in, first out.
        target: what counts as trained, where there is no ZeusSearcher.
        beta: likewise.
        carbon: an :class:`Elastic`, which pauses and resumes trials as the grid goes; or only a
            :class:`zeus_ray.records.EmissionsConfig`, which prices each trial's energy in ``zeus/carbon_g``
            and lets power limits follow the grid where its ``eta`` says so.

    Raises:
        BadInput: beta of 1 or less, or a target beside a searcher that has its own.
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
            raise BadInput("the searcher has the target; give it to one of the two")
        self._searcher = searcher
        self._base = base or FIFOScheduler()
        self._target = target
        self._beta = beta
        self._cheapest = math.inf
        self._reasons: dict[str, StopReason] = {}
        self._elastic = carbon if isinstance(carbon, Elastic) else None
        self._footprint = carbon.footprint if isinstance(carbon, Elastic) else carbon
        self._saved: set[tuple[str, str]] = set()
        self._told: list[Trial] = []

    # --- decisions -----------------------------------------------------------------------------

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Stop, or ask the base scheduler."""
        reason = self._why_stop(trial, result)
        if reason is not None:
            self._reasons[trial.trial_id] = reason
            return str(TrialScheduler.STOP)
        if self._base.metric in result and _is_nan(result[self._base.metric]):
            decision = str(TrialScheduler.CONTINUE)  # no scheduler of Tune's knows what to do with it
        else:
            decision = str(self._base.on_trial_result(tune_controller, trial, result))
        if decision == TrialScheduler.CONTINUE and self._elastic is not None:
            pause = self._elastic.should_pause(tune_controller, trial, result)
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
        """What reaching the target has cost at least, from a trial that has."""
        if report is not None and not math.isnan(report.cost_to_target):
            self._cheapest = min(self._cheapest, report.cost_to_target)

    # --- handed on to the base scheduler ---------------------------------------------------------

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:  # noqa: ANN401
        """The base scheduler's metric and mode; from the searcher where Tune was not told."""
        if self._searcher is not None:
            metric, mode = metric or self._searcher.metric, mode or self._searcher.mode
        super().set_search_properties(metric, mode, **spec)
        if self._base.metric is None or not metric:
            self._base.set_search_properties(metric, mode, **spec)
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """Check what the trial asks for, and carry the driver's settings; after a restore, catch up."""
        _check_resources(trial)
        target = {"target": dataclasses.asdict(self._target)} if self._target else {}
        trial.config.setdefault(RESERVED, {**carried_settings(), **target})
        if self._footprint is not None:
            trial.config[RESERVED]["emissions"] = to_plain(self._footprint)
        self._learn_cheapest(TrialReport.from_result(trial.last_result or {}))
        if self._searcher is not None and self._searcher.was_told(trial.config):
            self._told.append(trial)
        if self._elastic is not None:
            self._elastic.recall(trial)
        self._base.on_trial_add(tune_controller, trial)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:  # noqa: ANN401
        """A trial has ended: say why in its last result, which is what tables and the searcher read."""
        reason = self._reasons.pop(trial.trial_id, None)
        if reason is not None and trial.last_result:
            trial.last_result[result_key("stop_reason")] = result[result_key("stop_reason")] = reason.value
        self._base.on_trial_complete(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """A trial has failed."""
        self._base.on_trial_error(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """A trial that was not running is gone."""
        self._base.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:  # noqa: ANN401
        """Which trial runs next. What has ended or was paused since the last call is saved first."""
        self._end_the_told(tune_controller)
        settled = workload.settled(tune_controller)
        if settled - self._saved:
            workload.save(tune_controller)
        self._saved = settled
        if self._elastic is not None:
            return self._elastic.choose(tune_controller, self._base)
        return self._base.choose_trial_to_run(tune_controller)

    def _end_the_told(self, tune_controller: Any) -> None:  # noqa: ANN401 — Tune's
        """Restored trials whose end the search was told of, and Tune had not saved: none runs again."""
        while self._told:
            trial = self._told.pop()
            if not trial.is_finished():
                log.warning("zeus-ray: trial %s had ended before the crash: not run again", trial.trial_id)
                tune_controller.stop_trial(trial)

    def debug_string(self) -> str:
        """One line for Tune's progress."""
        ours = "EnergyScheduler" if self._elastic is None else self._elastic.progress()
        return f"{ours} over {self._base.debug_string()}"

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: Tune never calls this, and a restored trial's last result says it all."""

    def restore(self, checkpoint_path: str) -> None:
        """See :meth:`save`."""


def _is_nan(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _check_resources(trial: Trial) -> None:
    """A trial without a GPU on a GPU cluster would be metered as nothing: say so before it starts."""
    asked = trial.placement_group_factory.required_resources.get("GPU", 0)
    there = ray.cluster_resources().get("GPU", 0) if ray.is_initialized() else 0
    if isinstance(trial.placement_group_factory, DriverOnly):
        return  # its workers hold the GPUs
    if there and not asked and not discover.is_virtual(discover.gpu_source()):
        raise BadInput(
            f"trials ask for no GPU, but the cluster has {there:g}: pass "
            "resources_per_trial=zeus_ray.resources(), or tune.with_resources(train, zeus_ray.resources()); "
            "where the trial starts Ray Train, zeus_ray.resources(gpus=0)"
        )
