"""``TrialReporter``: how far a search is, and one line per trial that has ended.

Importing this module also shortens Ray Tune's own output: of the ``zeus/`` keys it prints those of ``SHOWN``.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import os
import time
from typing import TYPE_CHECKING, Any

from ray.tune import Callback
from ray.tune.experimental import output

from zeus_ray.records import TrialReport, result_key
from zeus_ray.tune.live_progress_display import ProgressDisplay, display_for
from zeus_ray.tune.search_progress import SearchProgress, ended_sentence, short_end
from zeus_ray.tune.tune_controller import ENDLESS

if TYPE_CHECKING:
    from ray.tune.experiment import Trial
    from rich.console import Console

SHOWN = ("energy_j", "time_s", "power_limit_w", "epochs", "stop_reason")
"""Fields of a report that Ray Tune's own output prints; every result has all of them."""
UPDATE_EVERY_S = 0.25

output.BLACKLISTED_KEYS |= {
    result_key(field.name) for field in dataclasses.fields(TrialReport) if field.name not in SHOWN
}


class TrialReporter(Callback):  # type: ignore[misc]  # Ray is not typed
    """Shows a search while it runs: ``callbacks=[zeus.TrialReporter()]``, with Tune's ``verbose=0``.

    A line per trial that has ended: batch size, limit, epochs, metric, energy, time and why it ended. Below,
    in a terminal or a notebook, how far the search is: trials, energy so far, the cheapest run, time left,
    the trials that run. Where output goes into a file, that comes at the end alone. Ray Tune's newer output,
    which is printed with ``verbose=0`` too, is switched off, unless RAY_AIR_NEW_OUTPUT is set.

    Args:
        console: where to print; None: standard output, or the cell of a notebook.
    """

    def __init__(self, console: Console | None = None) -> None:
        os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
        self._console = console
        self._display: ProgressDisplay | None = None
        self._most: int | None = None
        self._budget_s = math.inf
        self._began_s = self._updated_s = -float("inf")
        self._last_end = ""
        self._first: TrialReport | None = None

    def setup(
        self,
        stop: Any = None,  # noqa: ANN401, ARG002 — Tune's signature
        num_samples: int | None = None,
        total_num_samples: int | None = None,
        **info: Any,  # noqa: ANN401
    ) -> None:
        """An experiment begins."""
        budget = info.get("time_budget_s")
        budget_s = budget.total_seconds() if isinstance(budget, dt.timedelta) else budget
        self._budget_s = math.inf if budget_s is None else float(budget_s)
        most = total_num_samples or num_samples
        self._most = most if most and 0 < most < ENDLESS else None  # num_samples=-1: sys.maxsize
        self._began_s = time.monotonic()
        self._shown()

    def on_step_end(self, iteration: int, trials: list[Trial], **_info: Any) -> None:  # noqa: ANN401, ARG002 — likewise
        """Tune has handled an event: show the state anew, a few times a second."""
        self._update(trials)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_info: Any) -> None:  # noqa: ANN401, ARG002 — likewise
        """Print the line of a trial that has ended."""
        self._first = self._first or TrialReport.from_result(trial.last_result or {})
        self._ended(trials, trial, ended_sentence(trial, self._first))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_info: Any) -> None:  # noqa: ANN401, ARG002 — likewise
        """Print the line of a trial that has failed."""
        self._ended(trials, trial, f"{trial.trial_id}: failed; see {trial.local_path}")

    def on_experiment_end(self, trials: list[Trial], **_info: Any) -> None:  # noqa: ANN401 — likewise
        """All trials have ended, or the experiment was interrupted."""
        self._most, self._budget_s = None, math.inf  # no more trials follow
        self._update(trials, now=True)
        self._shown().close()
        self._display = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the display, which belongs to a process: Ray Client sends callbacks to another one."""
        return {**self.__dict__, "_display": None, "_console": None}

    def _ended(self, trials: list[Trial], trial: Trial, line: str) -> None:
        self._last_end = short_end(trial)
        self._shown().line(line)
        self._update(trials, now=True)

    def _update(self, trials: list[Trial], *, now: bool = False) -> None:
        """Show the state anew, at most every ``UPDATE_EVERY_S``, or ``now``."""
        now_s = time.monotonic()
        if now or now_s - self._updated_s >= UPDATE_EVERY_S:
            self._updated_s = now_s
            elapsed_s = now_s - self._began_s if self._began_s > -float("inf") else 0.0
            progress = SearchProgress.of(
                trials,
                most=self._most,
                elapsed_s=elapsed_s,
                last_stop=self._last_end,
                budget_s=self._budget_s,
            )
            self._shown().update(progress)

    def _shown(self) -> ProgressDisplay:
        if self._display is None:
            self._display = display_for(self._console)
        return self._display
