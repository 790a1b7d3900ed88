"""One record per trial, from any result of Ray Tune; Ray itself is not imported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import power
from zeus_ray.records import (
    BASELINE,
    GRAMS,
    NAN,
    RESERVED,
    MeasuredBy,
    SearchGoal,
    StopReason,
    Target,
    TrialReport,
    from_plain,
    read_carried,
    read_metric,
)
from zeus_ray.records.window_usage import ReportedWindow, windows_from_json

INTERRUPTED = "interrupted"
"""Why a trial ended that was under way when its search was (Ctrl-C)."""
UNDER_WAY = ("PENDING", "RUNNING", "PAUSED")
"""Ray Tune's words for a trial that has not ended."""
DONE = "done"
"""Ray Tune's key in each result: whether the trial ended with it, by itself or stopped by a scheduler."""


@dataclass(frozen=True, kw_only=True)
class _FoundTrial:
    """A trial as Ray Tune has it; ``best_metric`` is the best value of each metric, by name and mode."""

    trial_id: str
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    failed: bool = False
    interrupted: bool = False
    metric_analysis: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrialSummary:
    """What one trial tried, what that took, and why it ended. Unknown is NaN.

    ``energy_j``, ``time_s`` and ``cost`` are of the whole trial, over all its attempts and GPUs;
    ``cost_to_target`` (Zeus, Eq. 2; J) is NaN where the target was not reached. ``metric`` is the last one
    reported, ``best_metric`` the best. ``goal`` is what the search was asked for, as far as its trials know.
    ``began_at_s`` and ``ended_at_s`` are s since 1970, by Ray Tune's clock.
    ``hyperparameters`` are those of the config other than the batch size. ``windows`` are the named ones
    of its last attempt.
    """

    trial_id: str
    batch_size: int
    power_limit_w: float = NAN
    epochs: float = NAN
    metric: float = NAN
    best_metric: float = NAN
    metric_name: str = ""
    energy_j: float = NAN
    energy_j_err: float = NAN
    carbon_g: float = NAN
    price: float = NAN
    time_s: float = NAN
    cost: float = NAN
    cost_to_target: float = NAN
    began_at_s: float = NAN
    ended_at_s: float = NAN
    average_power_w: float = NAN
    cpu_energy_j: float = NAN
    dram_energy_j: float = NAN
    target_reached: bool = False
    stop_reason: str = ""
    gpu: str = ""
    measured_by: str = MeasuredBy.NONE.value
    shared: bool = False
    attempt: int = 1
    is_baseline: bool = False
    lr: float = NAN
    lr_rule: str = ""
    advice: str = ""
    windows: Mapping[str, ReportedWindow] = field(default_factory=dict)
    goal: SearchGoal | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def measured_cost(self) -> float:
        """The cost (J); NaN where no energy was measured: then ``cost`` is by time alone."""
        return NAN if math.isnan(self.energy_j) else self.cost

    @property
    def knobs_text(self) -> str:
        """As in "batch size 64 at 125 W"."""
        limit = "an unknown power limit" if math.isnan(self.power_limit_w) else power(self.power_limit_w)
        return f"batch size {self.batch_size} at {limit}"

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Sort key, the best first: target reached, cost to it; then the others by cost, and by time."""
        cost = self.cost_to_target if self.target_reached else self.measured_cost
        return (not self.target_reached, _nan_last(cost), _nan_last(self.time_s))


def summaries(result: Any, metric: str | None = None) -> list[TrialSummary]:  # noqa: ANN401 — Ray is not typed
    """The trials of a search, best first.

    Args:
        result: ExperimentAnalysis (``tune.run``), ResultGrid (``Tuner.fit``), or tuples
            (trial_id, config, last_result).
        metric: the result key to show; None: that of the search's target.

    Raises:
        BadInput: ``result`` is something else.
    """
    metric = metric or getattr(result, "default_metric", None)
    result = getattr(result, "_experiment_analysis", result)  # of a ResultGrid, which does not know statuses
    found = [_summary(trial, metric) for trial in _found_trials(result)]
    return sorted(found, key=lambda trial: trial.rank)


def _found_trials(result: Any) -> Iterator[_FoundTrial]:  # noqa: ANN401 — see summaries
    trials = getattr(result, "trials", None)
    if trials is not None:  # ExperimentAnalysis
        for trial in trials:
            yield _FoundTrial(
                trial_id=trial.trial_id,
                config=trial.config or {},
                result=trial.last_result or {},
                failed=trial.status == "ERROR",
                interrupted=trial.status in UNDER_WAY or (trial.last_result or {}).get(DONE) is False,
                metric_analysis=getattr(trial, "metric_analysis", None) or {},
            )
        return
    try:
        items = list(result)
    except TypeError as error:
        raise BadInput(
            f"cannot show a {type(result).__name__}; pass what tune.run or Tuner.fit returned, "
            "or tuples (trial_id, config, last_result)"
        ) from error
    for item in items:
        yield _found_trial(item)


def _found_trial(item: Any) -> _FoundTrial:  # noqa: ANN401 — see summaries
    if hasattr(item, "metrics"):  # a ray.tune.Result
        metrics = item.metrics or {}
        name = metrics.get("trial_id") or Path(getattr(item, "path", None) or "?").name
        return _FoundTrial(
            trial_id=str(name),
            config=getattr(item, "config", None) or {},
            result=metrics,
            failed=item.error is not None,
            interrupted=metrics.get(DONE) is False,
        )
    if isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 3:
        return _FoundTrial(
            trial_id=str(item[0]), config=item[1] or {}, result=item[2] or {}, failed=item[2] is None
        )
    raise BadInput(f"cannot show {item!r} as a trial; needed: (trial_id, config, last_result)")


def _summary(trial: _FoundTrial, metric: str | None) -> TrialSummary:
    config, result, failed = trial.config, trial.result, trial.failed
    plan = read_carried(config)
    knobs = plan.get("knobs") or {}
    report = TrialReport.from_result(result) or TrialReport()
    limit_w = report.power_limit_w if math.isfinite(report.power_limit_w) else knobs.get("power_limit_w")
    name = metric or (plan.get("target") or {}).get("metric") or ""
    ended_at_s = _float_or_nan(result.get("timestamp"))
    return TrialSummary(
        trial_id=trial.trial_id,
        batch_size=int(report.batch_size or knobs.get("batch_size") or config.get("batch_size") or 0),
        power_limit_w=_float_or_nan(limit_w),
        epochs=report.epochs,
        metric=read_metric(result, name),
        best_metric=_best_metric(trial, name, plan),
        metric_name=name,
        energy_j=report.energy_j,
        energy_j_err=report.energy_j_err,
        carbon_g=report.carbon_g,
        price=report.price,
        time_s=report.time_s,
        cost=report.cost,
        cost_to_target=report.cost_to_target,
        began_at_s=ended_at_s - _float_or_nan(result.get("time_total_s")),
        ended_at_s=ended_at_s,
        average_power_w=report.average_power_w,
        cpu_energy_j=report.cpu_energy_j,
        dram_energy_j=report.dram_energy_j,
        target_reached=bool(report.target_reached) and not failed,
        stop_reason=_stop_reason(trial, report),
        goal=_goal(plan, config),
        gpu=report.gpu,
        measured_by=report.measured_by,
        shared=bool(report.shared),
        attempt=int(report.attempt),
        lr=report.lr,
        lr_rule=report.lr_rule,
        advice=report.advice,
        windows=windows_from_json(report.windows),
        is_baseline=(report.run_id or knobs.get("run_id")) == BASELINE,
        hyperparameters={key: value for key, value in config.items() if key not in (RESERVED, "batch_size")},
    )


def _stop_reason(trial: _FoundTrial, report: TrialReport) -> str:
    if trial.failed:
        return StopReason.ERROR.value
    return INTERRUPTED if trial.interrupted and not report.stop_reason else report.stop_reason


def _best_metric(trial: _FoundTrial, name: str, plan: Mapping[str, Any]) -> float:
    """The best value of the metric, by the target's mode; the last where Tune has not kept it."""
    mode = (plan.get("target") or {}).get("mode", "max")
    best = _float_or_nan(trial.metric_analysis.get(name, {}).get(mode))
    return best if math.isfinite(best) else read_metric(trial.result, name)


def _goal(plan: Mapping[str, Any], config: Mapping[str, Any]) -> SearchGoal | None:
    """What the plan of a trial says of its search; None without a plan."""
    if "eta" not in plan:
        return None
    target, emissions = plan.get("target"), plan.get("emissions") or {}
    unit = emissions.get("unit", "")
    return SearchGoal(
        target=from_plain(Target, target) if target else None,
        eta=_float_or_nan(plan["eta"]),
        max_power_w=_float_or_nan(plan.get("max_power_w")),
        gpus=int(plan.get("gpus") or 1),
        max_slowdown=plan.get("max_slowdown"),
        default_batch_size=int(plan.get("default_batch_size") or config.get("batch_size") or 0),
        objective={"": "energy", GRAMS: "carbon"}.get(unit, "price"),
        signal=emissions.get("signal", ""),
        unit=unit,
    )


def _float_or_nan(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return NAN


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value
