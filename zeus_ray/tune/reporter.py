"""``TrialReporter``: one line per finished trial, with its configuration, its energy and why it ended."""

from __future__ import annotations

from typing import Any

from ray.tune import Callback
from rich.console import Console

from zeus_ray.records import TrialReport
from zeus_ray.units import energy, power, seconds


class TrialReporter(Callback):  # type: ignore[misc]  # Ray is not typed
    """Prints one line per finished trial: ``callbacks=[zeus.TrialReporter()]``, with Tune's ``verbose=0``."""

    def __init__(self) -> None:
        self._finished = 0

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_info: Any) -> None:  # noqa: ANN401, ARG002 — Tune's signature
        """Print the line of a trial that has ended."""
        report = TrialReport.from_result(trial.last_result or {})
        if report is None:
            self._print(f"{trial.trial_id}: ended without a metered result")
            return
        ended = report.stop_reason or "ended by itself"
        self._print(
            f"batch {report.batch_size:>5}  {power(report.power_limit_w):>7}  {report.epochs:>5.1f} epochs  "
            f"{energy(report.energy_j):>9}  {seconds(report.time_s):>9}  {ended}"
        )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_info: Any) -> None:  # noqa: ANN401, ARG002 — Tune's signature
        """Print the line of a trial that has failed."""
        self._print(f"{trial.trial_id}: failed; see {trial.local_path}")

    def _print(self, line: str) -> None:
        self._finished += 1
        Console().print(f"[dim]{self._finished:>3}[/dim]  {line}", highlight=False)
