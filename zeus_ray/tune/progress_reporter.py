"""``TrialReporter``: one line per finished trial, with its metric, its energy and why it ended.

Importing this module also shortens Ray Tune's own output: of the ``zeus/`` keys it prints those of ``SHOWN``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ray.tune import Callback
from ray.tune.experimental import output
from rich.console import Console

from zeus_ray.quantity_format import energy, power, seconds
from zeus_ray.records import TrialReport, read_carried, read_metric, result_key

SHOWN = ("energy_j", "time_s", "power_limit_w", "epochs", "stop_reason")
"""Fields of a report that Ray Tune's own output prints; every result has all of them."""

output.BLACKLISTED_KEYS |= {
    result_key(field.name) for field in dataclasses.fields(TrialReport) if field.name not in SHOWN
}


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
        name = (read_carried(trial.config).get("target") or {}).get("metric")
        metric = f"{name} {read_metric(trial.last_result, name):.4g}  " if name else ""
        self._print(
            f"batch {report.batch_size:>5}  {power(report.power_limit_w):>7}  {report.epochs:>5.1f} epochs  "
            f"{metric}{energy(report.energy_j):>9}  {seconds(report.time_s):>9}  {ended}"
        )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_info: Any) -> None:  # noqa: ANN401, ARG002 — Tune's signature
        """Print the line of a trial that has failed."""
        self._print(f"{trial.trial_id}: failed; see {trial.local_path}")

    def _print(self, line: str) -> None:
        self._finished += 1
        Console().print(f"[dim]{self._finished:>3}[/dim]  {line}", highlight=False)
