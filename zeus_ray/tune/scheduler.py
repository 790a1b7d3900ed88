"""``EnergyScheduler``: stops trials that have reached the target, and trials that cost too much."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    FIFOScheduler,
    HyperBandScheduler,
    TrialScheduler,
    create_scheduler,
)
from ray.tune.search import Searcher

from zeus_ray.errors import BadInput
from zeus_ray.records import (
    RESERVED,
    EmissionsConfig,
    PlanText,
    StopReason,
    Target,
    TrialReport,
    read_carried,
    read_metric,
    to_plain,
)
from zeus_ray.training.plan_from_config_or_arguments import carried_settings
from zeus_ray.tune import show_progress_callback as _shorter_output  # noqa: F401 — see its first lines
from zeus_ray.tune.experiment_save_rate import BoundedSaves
from zeus_ray.tune.faster_trial_state_json import write_compactly
from zeus_ray.tune.pause_trials_for_carbon import Elastic
from zeus_ray.tune.refuse_wrappers import innermost_searcher, refuse_wrapped
from zeus_ray.tune.resources import check_resources
from zeus_ray.tune.searcher import ZeusSearcher
from zeus_ray.tune.tune_controller import ControllerView

logger = logging.getLogger("zeus_ray")

LONG_NAMES = {"asha": "async_hyperband"}
"""Names of schedulers that Ray Tune has under another name only."""


class EnergyScheduler(TrialScheduler):  # type: ignore[misc]  # Ray is not typed
    """Stops a trial at the target, or when going on would cost more than it can be worth.

    With a :class:`ZeusSearcher` its search decides. With any other searcher a trial is stopped when one
    more epoch would take its cost over ``beta`` times that of the cheapest trial that has reached the
    target (Zeus, section 4.3); the trial itself stops at the ``target``. Trials that are not metered are
    not stopped.

    Args:
        searcher: the ZeusSearcher given to Tune, or a ConcurrencyLimiter around it.
        base: the scheduler that decides about all other trials, or its name, such as "asha"; None: first in,
            first out. A trial that it ends says "not worth it".
        target: what counts as trained, if there is no ZeusSearcher.
        beta: see above, if there is no ZeusSearcher.
        carbon: an :class:`Elastic`, which pauses and resumes trials by carbon intensity or price; or a
            :class:`zeus_ray.records.EmissionsConfig`, with which each trial reports ``zeus/carbon_g`` or
            ``zeus/price``, and power limits follow the signal if it has an ``eta``.

    Raises:
        BadInput: beta of 1 or less, a target beside a searcher, which has its own, something else than a
            searcher, or a base that cannot work here (HyperBandScheduler).
    """

    def __init__(
        self,
        searcher: Searcher | None = None,
        *,
        base: TrialScheduler | str | None = None,
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
        if target is not None and not isinstance(target, Target):
            raise BadInput(f"target is {target!r}; allowed: Target(metric, value), or None")
        self._searcher = _zeus_searcher(searcher)
        self._base = _checked_base(base)
        self._target = target
        self._beta = beta
        self._cheapest = math.inf
        self._reasons: dict[str, StopReason] = {}
        self._elastic = carbon if isinstance(carbon, Elastic) else None
        self._emissions = carbon.emissions if isinstance(carbon, Elastic) else carbon
        self._saves = BoundedSaves()
        self._told: list[Trial] = []

    @property
    def supports_buffered_results(self) -> bool:
        """As the base scheduler."""
        return bool(self._base.supports_buffered_results)

    # --- decisions -------------------------------------------------------------------------------

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Stop, pause, or do as the base scheduler says."""
        decision, reason = self._decide(tune_controller, trial, result)
        if reason is not None:
            self._reasons[trial.trial_id] = reason
        if decision == TrialScheduler.PAUSE:
            self._saves.pausing(trial)
        return decision

    def _decide(
        self,
        tune_controller: Any,  # noqa: ANN401
        trial: Trial,
        result: dict[str, Any],
    ) -> tuple[str, StopReason | None]:
        """What happens to the trial, and why if it ends."""
        reason = self._why_stop(trial, result)
        if reason is not None:
            return str(TrialScheduler.STOP), reason
        decision = self._base_decision(tune_controller, trial, result)
        if decision == TrialScheduler.STOP:
            self._note_stop(trial)
            return decision, StopReason.NOT_WORTH_IT
        if decision == TrialScheduler.CONTINUE and self._elastic is not None:
            pause = self._elastic.should_pause(ControllerView(tune_controller), trial, result)
            return (str(TrialScheduler.PAUSE) if pause else decision), None
        return decision, None

    def _base_decision(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:  # noqa: ANN401
        """As the base scheduler says; a result without a number to compare is none that it should see."""
        needed = (self._base.metric, getattr(self._base, "_time_attr", None))
        if any(name in result and math.isnan(read_metric(result, name)) for name in needed if name):
            return str(TrialScheduler.CONTINUE)
        if self._base.metric and self._base.metric not in result:
            return str(TrialScheduler.CONTINUE)
        return str(self._base.on_trial_result(tune_controller, trial, result))

    def _note_stop(self, trial: Trial) -> None:
        """Tell the search that the base scheduler ends a trial: that is no failure of its batch size."""
        if self._searcher is not None:
            self._searcher.note_stop(trial.trial_id, StopReason.NOT_WORTH_IT)

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
        if self._searcher is not None and "num_samples" in spec:
            # Tune tells the searcher only where there is a config.
            self._searcher.set_length(spec["num_samples"], spec.get("time_budget_s"))
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """Check the trial's resources, complete its config, and after a restore learn from it."""
        if len(tune_controller.get_trials()) == 1:
            self._check_experiment(tune_controller.search_alg, trial)
        write_compactly(trial)
        ControllerView(tune_controller).add_to_results(self._reasons)
        trial.config[RESERVED] = self._carried(trial)
        self._learn_cheapest(TrialReport.from_result(trial.last_result or {}))
        if self._searcher is not None:
            self._searcher.adopt(trial.trial_id, trial.config)
            if self._searcher.was_told(trial.config):
                self._told.append(trial)
        if self._elastic is not None:
            self._elastic.restore_trial(trial)
        self._base.on_trial_add(tune_controller, trial)

    def _check_experiment(self, search_alg: object, trial: Trial) -> None:
        """Before the first trial: the searcher is the one that Tune has, and its GPUs can be metered."""
        used = innermost_searcher(search_alg)
        if isinstance(used, ZeusSearcher) and (
            used.is_copy_of(self._searcher) or (self._searcher is None and self._target is None)
        ):
            self._searcher = used
        if self._searcher is not None and used is not self._searcher:
            raise BadInput(
                f"EnergyScheduler has a ZeusSearcher, but Ray Tune's search_alg is {type(used).__name__}, or "
                "another one: pass the same ZeusSearcher as search_alg= and to EnergyScheduler"
            )
        refuse_wrapped(search_alg, self._searcher)
        check_resources(trial, shared_is_asked=self._searcher is not None and self._searcher.count_shared)

    def _carried(self, trial: Trial) -> PlanText:
        """The plan of the search, or what a trial without one needs to know, with the emissions."""
        carried = read_carried(trial.config)
        if not carried:
            carried = {**carried_settings(), **({"target": to_plain(self._target)} if self._target else {})}
        if self._emissions is not None:
            carried["emissions"] = to_plain(self._emissions)
        return PlanText(json.dumps(carried))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:  # noqa: ANN401
        """A trial has ended, by itself or stopped."""
        self._reasons.pop(trial.trial_id, None)
        self._saves.ended()
        metric = self._base.metric
        if metric and metric in result:  # a number, if only NaN, because schedulers calculate with it
            result = {**result, metric: read_metric(result, metric)}
        self._base.on_trial_complete(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """A trial has failed."""
        self._saves.ended()
        self._base.on_trial_error(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """A trial that was paused or had not begun has been ended, as the base scheduler wished."""
        self._note_stop(trial)
        self._saves.ended()
        self._base.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:  # noqa: ANN401
        """Which trial runs next. Trials that ended or paused since the last call are stored first."""
        self._end_told_trials(tune_controller)
        controller = ControllerView(tune_controller)
        self._saves.save_if_due(controller.save_experiment, controller.is_saving)
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


def _zeus_searcher(searcher: object) -> ZeusSearcher | None:
    """The ZeusSearcher itself, or the one inside of wrappers. Raises BadInput for anything else."""
    inner = innermost_searcher(searcher)
    if inner is not None and not isinstance(inner, ZeusSearcher):
        raise BadInput(
            f"searcher is {searcher!r}; allowed: the ZeusSearcher given to Tune, or None. A scheduler "
            "underneath is given as base="
        )
    refuse_wrapped(searcher, inner)
    return inner


def _checked_base(base: TrialScheduler | str | None) -> TrialScheduler:
    if isinstance(base, str):
        try:
            base = create_scheduler(LONG_NAMES.get(base.lower(), base))
        except ValueError as error:
            raise BadInput(f"base is {base!r}: {error}") from error
    if isinstance(base, HyperBandScheduler):
        raise BadInput(
            "base is a HyperBandScheduler, which waits for all trials of a bracket and hangs when one ends "
            "before max_t, as trials at the target do: use ASHAScheduler, which needs no such wait"
        )
    if base is not None and not isinstance(base, TrialScheduler):
        raise BadInput(f"base is {base!r}; allowed: a scheduler of ray.tune.schedulers, its name, or None")
    return base or FIFOScheduler()
