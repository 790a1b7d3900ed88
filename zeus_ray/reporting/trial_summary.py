"""One record per trial, from any result of Ray Tune; Ray itself is not imported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeus_ray.errors import BadInput
from zeus_ray.records import (
    BASELINE,
    NAN,
    RESERVED,
    MeasuredBy,
    StopReason,
    TrialReport,
    read_carried,
    read_metric,
)

TrialTuple = tuple[str, Mapping[str, Any], Mapping[str, Any], bool]
"""(trial_id, config, last result, whether it failed)"""


@dataclass(frozen=True, kw_only=True)
class TrialSummary:
    """What one trial tried, what that took, and why it ended. Unknown is NaN.

    ``energy_j``, ``time_s`` and ``cost`` are of the whole trial, over all its attempts and GPUs;
    ``cost_to_target`` (Zeus, Eq. 2; J) is NaN where the target was not reached. ``hyperparameters`` are
    those of the config other than the batch size.
    """

    trial_id: str
    batch_size: int
    power_limit_w: float = NAN
    epochs: float = NAN
    metric: float = NAN
    metric_name: str = ""
    energy_j: float = NAN
    time_s: float = NAN
    cost: float = NAN
    cost_to_target: float = NAN
    average_power_w: float = NAN
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
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Sort key, the best first: target reached, then cost to target, then time; failures are last."""
        return (not self.target_reached, _nan_last(self.cost_to_target), _nan_last(self.time_s))


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
    found = [_summary(trial, metric) for trial in _trial_tuples(result)]
    return sorted(found, key=lambda trial: trial.rank)


def _trial_tuples(result: Any) -> Iterator[TrialTuple]:  # noqa: ANN401 — see summaries
    trials = getattr(result, "trials", None)
    if trials is not None:  # ExperimentAnalysis
        for trial in trials:
            yield trial.trial_id, trial.config or {}, trial.last_result or {}, trial.status == "ERROR"
        return
    try:
        items = list(result)
    except TypeError as error:
        raise BadInput(
            f"cannot show a {type(result).__name__}; pass what tune.run or Tuner.fit returned, "
            "or tuples (trial_id, config, last_result)"
        ) from error
    for item in items:
        yield _trial_tuple(item)


def _trial_tuple(item: Any) -> TrialTuple:  # noqa: ANN401 — see summaries
    if hasattr(item, "metrics"):  # a ray.tune.Result
        metrics = item.metrics or {}
        name = metrics.get("trial_id") or Path(getattr(item, "path", None) or "?").name
        return str(name), getattr(item, "config", None) or {}, metrics, item.error is not None
    if isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 3:
        return str(item[0]), item[1] or {}, item[2] or {}, item[2] is None
    raise BadInput(f"cannot show {item!r} as a trial; needed: (trial_id, config, last_result)")


def _summary(trial: TrialTuple, metric: str | None) -> TrialSummary:
    trial_id, config, result, failed = trial
    plan = read_carried(config)
    knobs = plan.get("knobs") or {}
    report = TrialReport.from_result(result) or TrialReport()
    limit_w = report.power_limit_w if math.isfinite(report.power_limit_w) else knobs.get("power_limit_w")
    name = metric or (plan.get("target") or {}).get("metric") or ""
    return TrialSummary(
        trial_id=trial_id,
        batch_size=int(report.batch_size or knobs.get("batch_size") or config.get("batch_size") or 0),
        power_limit_w=_float_or_nan(limit_w),
        epochs=report.epochs,
        metric=read_metric(result, name),
        metric_name=name,
        energy_j=report.energy_j,
        time_s=report.time_s,
        cost=report.cost,
        cost_to_target=report.cost_to_target,
        average_power_w=report.average_power_w,
        target_reached=bool(report.target_reached) and not failed,
        stop_reason=StopReason.ERROR.value if failed else report.stop_reason,
        gpu=report.gpu,
        measured_by=report.measured_by,
        shared=bool(report.shared),
        attempt=int(report.attempt),
        lr=report.lr,
        lr_rule=report.lr_rule,
        advice=report.advice,
        is_baseline=(report.run_id or knobs.get("run_id")) == BASELINE,
        hyperparameters={key: value for key, value in config.items() if key not in (RESERVED, "batch_size")},
    )


def _float_or_nan(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return NAN


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value
