"""``zeus.show(result)``: the table, the saving and the Pareto plot, in a terminal or a notebook."""

from __future__ import annotations

import base64
import html
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zeus_ray import quantity_format as units
from zeus_ray.errors import BadInput
from zeus_ray.records import Best
from zeus_ray.reporting.final_metric_comparison import Verification
from zeus_ray.reporting.savings import same_knobs, savings
from zeus_ray.reporting.stored_answer import stored_answer
from zeus_ray.reporting.trial_summary import TrialSummary, summaries
from zeus_ray.reporting.trial_table import html_trial_table, trial_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

NOTEBOOK_DPI = 110


@dataclass(frozen=True)
class SearchReport:
    """A finished search, displayed by rich, by a notebook, or as text (``str``).

    Attributes:
        trials: all of them, the baseline too.
        hyperparameters: further ones to show as columns.
        best: what the search recommends; None: the batch size that was cheapest on average, or the baseline
            where none was cheaper.
        verified: the final metric of the recommendation against the default's.
    """

    trials: tuple[TrialSummary, ...]
    hyperparameters: tuple[str, ...] = ()
    best: Best | None = None
    verified: Verification | None = None

    @property
    def sentences(self) -> list[str]:
        """What was saved, what the search took, when it has paid for itself, and how it was measured."""
        saved = savings(self.trials, answer=self.best)
        expected = [_expectation(self.best)] if self.best and not math.isnan(self.best.energy_j.mean) else []
        verified = [self.verified.sentence] if self.verified else []
        remarks = _remarks(saved.best, verified=bool(verified)) if saved.best else []
        return saved.sentences() + expected + remarks + verified

    def _winner(self) -> TrialSummary | None:
        """The trial of the answer: the cheapest with its knobs; None where none had its power limit."""
        best = savings(self.trials, answer=self.best).best
        if best is None:
            return None
        return next((t for t in self.trials if t.trial_id == best.trial_id and same_knobs(t, best)), None)

    def pareto(self) -> Figure | None:
        """Energy against time of all trials; None where no energy was measured."""
        from zeus_ray.reporting.plots import plot_pareto  # noqa: PLC0415 — matplotlib is imported only to draw

        try:
            return plot_pareto(self.trials, self._winner())
        except BadInput:
            return None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """For ``rich.print``: the table and the sentences."""
        from rich.text import Text  # noqa: PLC0415 — rich is imported only to display

        yield trial_table(
            self.trials,
            hyperparameters=self.hyperparameters,
            best=self._winner(),
            title="Trials, the cheapest to the target first",
        )
        yield ""
        yield from (Text(sentence) for sentence in self.sentences)

    def __str__(self) -> str:
        from rich.console import Console  # noqa: PLC0415 — rich is imported only to display

        console = Console(file=io.StringIO(), width=140, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return capture.get()

    def __repr__(self) -> str:
        return f"<{len(self.trials)} trials: print() shows them>"

    def _repr_html_(self) -> str:
        """For a notebook: the table, the sentences and the plot."""
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.sentences)
        figure = self.pareto()
        style = "max-width:800px;width:100%"
        image = f'<img style="{style}" alt="Pareto plot" src="{_data_url(figure)}">' if figure else ""
        table = html_trial_table(self.trials, self.hyperparameters, self._winner())
        return f"<div>{table}<ul>{items}</ul>{image}</div>"


def show(
    result: Any,  # noqa: ANN401 — Ray is not typed
    metric: str | None = None,
    *,
    best: Best | None = None,
    hyperparameters: Sequence[str] = (),
    verified: Verification | None = None,
) -> SearchReport:
    """Show a search: printed in a terminal, displayed as the value of the cell in a notebook.

    Args:
        result: what ``tune.run`` or ``Tuner.fit`` returned, or tuples (trial_id, config, last_result).
        metric: the result key to show; None: that of the search's target.
        best: what the search recommends, ``searcher.best()``; None: the answer that the experiment has
            stored, which is the same, or without one the cheapest batch size on average.
        hyperparameters: further ones to show, such as ``["lr"]``.
        verified: what :func:`zeus_ray.verify` returned.

    Returns:
        The report, with its ``trials``, its ``sentences`` and ``pareto()``.

    Raises:
        BadInput: ``result`` is something else.
    """
    best = best or stored_answer(result)
    report = SearchReport(tuple(summaries(result, metric)), tuple(hyperparameters), best, verified)
    if not _in_notebook():
        from rich.console import Console  # noqa: PLC0415 — rich is imported only to display

        Console().print(report)
    return report


def _expectation(best: Best) -> str:
    """What the search expects of its recommendation, by all trials and not by the luckiest."""
    limit = "the limit found" if best.power_limit_w is None else units.power(best.power_limit_w)
    energy_j, time_s = best.energy_j, best.time_s
    return (
        f"Expect of batch size {best.batch_size} at {limit}: {units.energy(energy_j.mean)} "
        f"({units.energy(energy_j.low)} to {units.energy(energy_j.high)}) and {units.seconds(time_s.mean)} "
        f"({units.seconds(time_s.low)} to {units.seconds(time_s.high)}) a training, nine times out of ten."
    )


def _remarks(best: TrialSummary, *, verified: bool) -> list[str]:
    """How the learning rate was scaled, and what a limit would have saved where none could be set."""
    remarks = []
    if best.lr_rule:
        check = "" if verified else ", which zeus_ray.verify can check"
        remarks.append(
            f"Its learning rate is {best.lr:.3g} by the rule {best.lr_rule!r}, a rule of thumb{check}."
        )
    if best.advice:
        remarks.append(f"No limit could be set: {best.advice}.")
    return remarks


def _in_notebook() -> bool:
    """Whether a Jupyter kernel will display what a cell returns."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _data_url(figure: Figure) -> str:
    """The figure as a PNG in a data URL."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=NOTEBOOK_DPI, facecolor="white")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
