"""Writes the stop reason of a trial into its result before loggers see it, and into TensorBoard as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.callback import CallbackList
from ray.tune.experiment import Trial
from ray.tune.logger import TBXLoggerCallback
from ray.tune.result import TRAINING_ITERATION

from zeus_ray.records import StopReason, result_key


class ReasonCallbacks(CallbackList):  # type: ignore[misc]  # Ray is not typed
    """Tune's callbacks, called with results that have their stop reason.

    Args:
        callbacks: Tune's own.
        reasons: by trial id; read at each result.
    """

    def __init__(self, callbacks: CallbackList, reasons: Mapping[str, StopReason]) -> None:
        super().__init__(callbacks._callbacks)  # noqa: SLF001 — Tune has no public way
        self._reasons = reasons

    def on_trial_result(self, **info: Any) -> None:  # noqa: ANN401 — Tune's own
        """A trial has reported."""
        trial, result = info["trial"], info["result"]
        reason = self._reasons.get(trial.trial_id)
        if reason is not None:
            result[result_key("stop_reason")] = reason.value
        super().on_trial_result(**info)
        if result.get(result_key("stop_reason")):
            for callback in self._callbacks:
                if isinstance(callback, TBXLoggerCallback):
                    _add_text(callback, trial, result)


def _add_text(logger: TBXLoggerCallback, trial: Trial, result: Mapping[str, Any]) -> None:
    """Write the reason to the trial's event file, which by itself gets numbers alone."""
    key = result_key("stop_reason")
    writer = logger._trial_writer.get(trial)  # noqa: SLF001 — Tune has no public way
    if writer is not None:
        writer.add_text(f"ray/tune/{key}", str(result[key]), global_step=result.get(TRAINING_ITERATION))
