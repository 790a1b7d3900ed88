"""``zeus.show(result)``: the table, the saving and the Pareto plot, in a terminal or a notebook."""

from __future__ import annotations

import base64
import functools
import html
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zeus_ray import quantity_format as units
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import counted
from zeus_ray.records import Best, SearchAnswer
from zeus_ray.reporting.final_metric_comparison import Verification
from zeus_ray.reporting.pictures.pareto_picture import pareto_picture
from zeus_ray.reporting.pictures.picture import Picture
from zeus_ray.reporting.pictures.search_pictures import search_pictures
from zeus_ray.reporting.savings import Savings, same_knobs, savings
from zeus_ray.reporting.savings_sentences import savings_sentences
from zeus_ray.reporting.stored_answer import stored_answer
from zeus_ray.reporting.trial_summary import TrialSummary, summaries
from zeus_ray.reporting.trial_table import html_trial_table, trial_table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


@dataclass(frozen=True)
class SearchReport:
    """A finished search, displayed by rich, by a notebook, or as text (``str``).

    Attributes:
        trials: all of them, the baseline too.
        hyperparameters: further ones to show as columns.
        best: what the search recommends; None: that of ``found``, else the batch size that was cheapest on
            average, or the baseline where none was cheaper.
        verified: the final metric of the recommendation against the default's.
        found: what the experiment has stored.
    """

    trials: tuple[TrialSummary, ...]
    hyperparameters: tuple[str, ...] = ()
    best: Best | None = None
    verified: Verification | None = None
    found: SearchAnswer | None = None

    @property
    def savings(self) -> Savings:
        """The answer against the baseline, and what the search took."""
        return savings(self.trials, answer=self.best, found=self.found)

    @property
    def sentences(self) -> list[str]:
        """What was asked for and found, what that saves, what the search took, and how it was measured."""
        return savings_sentences(self.savings) + self.outlook

    @property
    def outlook(self) -> list[str]:
        """What to expect of the answer, and what to know before it is used."""
        saved = self.savings
        answer = saved.answer
        expected = [_expectation(answer)] if answer and not math.isnan(answer.energy_j.mean) else []
        verified = [self.verified.sentence] if self.verified else []
        remarks = _remarks(saved.best, verified=bool(verified)) if saved.best else []
        return expected + remarks + verified

    def winner(self) -> TrialSummary | None:
        """The trial of the answer: the cheapest with its knobs; None where none had its power limit."""
        best = self.savings.best
        if best is None:
            return None
        return next((t for t in self.trials if t.trial_id == best.trial_id and same_knobs(t, best)), None)

    @functools.cached_property
    def _drawn(self) -> tuple[list[Picture], list[str]]:
        return search_pictures(self.savings, self.found)

    @property
    def pictures(self) -> dict[str, Picture]:
        """The pictures that can be drawn, by a short name: "pareto", "cost", "curves", "history"."""
        return {picture.key: picture for picture in self._drawn[0]}

    @property
    def not_drawn(self) -> list[str]:
        """One sentence for each picture that cannot be drawn, with the reason."""
        return self._drawn[1]

    def pareto(self) -> Picture | None:
        """Energy against time to the target; None where nothing reached it, or no energy was measured."""
        try:
            return pareto_picture(self.savings)
        except BadInput:
            return None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """For ``rich.print``: the table and the sentences."""
        from rich.text import Text  # noqa: PLC0415 — rich is imported only to display

        yield trial_table(
            self.trials,
            hyperparameters=self.hyperparameters,
            best=self.winner(),
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
        best = self.savings.best
        answer = "nothing reached the target" if best is None else f"best: {best.knobs_text}"
        return f"<{counted(len(self.trials), 'trial')}, {answer}: print() shows them>"

    def _repr_html_(self) -> str:
        """For a notebook: the table, the sentences and the plot."""
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.sentences)
        picture = self.pareto()
        image = _image(picture) if picture else ""
        table = html_trial_table(self.trials, self.hyperparameters, self.winner())
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
        The report, with its ``trials``, its ``sentences``, ``pictures`` and ``pareto()``.

    Raises:
        BadInput: ``result`` is something else.
    """
    trials, found = tuple(summaries(result, metric)), stored_answer(result)
    best = best or (found.best if found else None)
    report = SearchReport(trials, tuple(hyperparameters), best, verified, found)
    if not _in_notebook():
        from rich.console import Console  # noqa: PLC0415 — rich is imported only to display

        Console().print(report)
    return report


def _expectation(best: Best) -> str:
    """What the search expects of its recommendation, by all trials and not by the luckiest."""
    return (
        f"Expect of {best.knobs_text}: {best.energy_j.text(units.energy)} and "
        f"{best.time_s.text(units.seconds)} a training, nine times out of ten within these intervals."
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


def _image(picture: Picture) -> str:
    """The picture as a PNG in HTML."""
    data = base64.b64encode(picture._repr_png_()).decode("ascii")
    alt = html.escape(picture.description, quote=True)
    return f'<img style="max-width:800px;width:100%" alt="{alt}" src="data:image/png;base64,{data}">'
