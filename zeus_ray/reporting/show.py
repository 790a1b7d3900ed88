"""``zeus.show(result)``: the table, the saving and the Pareto plot, in a terminal or a notebook."""

from __future__ import annotations

import base64
import functools
import html
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import counted
from zeus_ray.records import Best, SearchAnswer
from zeus_ray.reporting.answer_and_baseline import same_knobs
from zeus_ray.reporting.final_metric_comparison import Verification
from zeus_ray.reporting.next_steps import next_steps
from zeus_ray.reporting.page.html_page import bullets
from zeus_ray.reporting.pictures.pareto_picture import pareto_picture
from zeus_ray.reporting.pictures.picture import Picture, note_of
from zeus_ray.reporting.pictures.search_pictures import search_pictures
from zeus_ray.reporting.savings import Savings, savings
from zeus_ray.reporting.search_sentences import DETAILS, sentences_by_subject
from zeus_ray.reporting.stored_answer import stored_answer
from zeus_ray.reporting.trial_table import html_trial_table, table_notes, trial_table
from zeus_ray.reporting.trials_from_result import TrialSummary, summaries
from zeus_ray.reporting.window_table import WindowSums, html_window_table, sum_windows, window_table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text

NEXT = "What to do now"


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
        folder: of the experiment; "" where it has none here.
        example: what to do with a search that is an example, said as the first step; "" for one of a user.
    """

    trials: tuple[TrialSummary, ...]
    hyperparameters: tuple[str, ...] = ()
    best: Best | None = None
    verified: Verification | None = None
    found: SearchAnswer | None = None
    folder: str = ""
    example: str = ""

    @property
    def savings(self) -> Savings:
        """The answer against the baseline, and what the search took."""
        return savings(self.trials, answer=self.best, found=self.found)

    @property
    def sentences(self) -> list[str]:
        """What was asked for and found, what that saves, what the search took, and what to do now."""
        return [sentence for said in self.by_subject.values() for sentence in said]

    @property
    def by_subject(self) -> dict[str, list[str]]:
        """The sentences under the headings of the report; subjects on which there is nothing are left out."""
        saved = self.savings
        said = sentences_by_subject(saved)
        said[DETAILS] += _remarks(saved, self.verified)
        said[NEXT] = next_steps(
            saved, folder=self.folder, verified=self.verified is not None, example=self.example
        )
        return {subject: sentences for subject, sentences in said.items() if sentences}

    @property
    def table_title(self) -> str:
        """What the table of trials shows, and whether its numbers were measured."""
        note, virtual = note_of([], self.savings.measured_by)
        what = f"; power, energy, time, cost {note.partition(' ')[0]}" if virtual else ""
        return f"Trials, cheapest first, stopped ones last{what}"

    @property
    def windows(self) -> WindowSums:
        """The named windows of all trials, added up by name."""
        return sum_windows(trial.windows for trial in self.trials)

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
            title=self.table_title,
        )
        yield from (Text(note, style="dim") for note in table_notes(self.trials))
        if self.windows.runs:
            yield window_table(self.windows)
        for subject, sentences in self.by_subject.items():
            yield Text(f"\n{subject}", style="bold")
            yield from listed(sentences, numbered=subject == NEXT)

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
        said = "".join(
            f"<p><b>{html.escape(subject)}</b></p>{bullets(sentences, numbered=subject == NEXT)}"
            for subject, sentences in self.by_subject.items()
        )
        notes = bullets(table_notes(self.trials))
        picture = self.pareto()
        image = _image(picture) if picture else ""
        table = html_trial_table(self.trials, self.hyperparameters, self.winner())
        windows = html_window_table(self.windows) if self.windows.runs else ""
        title = f"<p>{html.escape(self.table_title)}</p>"
        return f"<div>{title}{table}{notes}{windows}{said}{image}</div>"


def show(
    result: Any,  # noqa: ANN401 — Ray is not typed
    metric: str | None = None,
    *,
    best: Best | None = None,
    hyperparameters: Sequence[str] = (),
    verified: Verification | None = None,
    example: str = "",
) -> SearchReport:
    """Show a search: printed in a terminal, displayed as the value of the cell in a notebook.

    Args:
        result: what ``tune.run`` or ``Tuner.fit`` returned, or tuples (trial_id, config, last_result).
        metric: the result key to show; None: that of the search's target.
        best: what the search recommends, ``searcher.best()``; None: the answer that the experiment has
            stored, which is the same, or without one the cheapest batch size on average.
        hyperparameters: further ones to show, such as ``["lr"]``.
        verified: what :func:`zeus_ray.verify` returned.
        example: what to do with a search that is an example, said as the first step; "" for one of your own.

    Returns:
        The report, with its ``trials``, its ``sentences``, ``pictures`` and ``pareto()``.

    Raises:
        BadInput: ``result`` is something else.
    """
    trials, found = tuple(summaries(result, metric)), stored_answer(result)
    best = best or (found.best if found else None)
    folder = getattr(result, "experiment_path", "")
    report = SearchReport(trials, tuple(hyperparameters), best, verified, found, folder, example)
    if not _in_notebook():
        from rich.console import Console  # noqa: PLC0415 — rich is imported only to display

        Console().print(report, crop=False)
    return report


def listed(sentences: Sequence[str], *, numbered: bool = False) -> Iterator[Table | Text]:
    """The sentences for rich, each with a mark before its first line; what is to be typed is not wrapped."""
    from rich.table import Table  # noqa: PLC0415 — rich is imported only to display
    from rich.text import Text  # noqa: PLC0415 — likewise

    for number, sentence in enumerate(sentences, 1):
        said, _, typed = sentence.partition("\n")
        table = Table.grid(padding=(0, 1))
        table.add_row(f"{number}." if numbered else "-", Text(said))
        yield table
        if typed:
            yield Text(f"   {typed}", no_wrap=True, overflow="ignore")


def _remarks(saved: Savings, verified: Verification | None) -> list[str]:
    """How the learning rate was scaled, what a limit would have saved, and the final metric."""
    remarks: list[str] = []
    best, before = saved.best, saved.baseline
    if best is None:
        return remarks
    if best.lr_rule:
        check = "" if verified else ", which zeus.verify(result) can check"
        scaled = best.lr_rule
        if before is not None and before.lr > 0 and before.batch_size != best.batch_size:
            scaled += f", from {before.lr:.3g} at batch size {before.batch_size}"
        remarks.append(f"The answer's learning rate is {best.lr:.3g} (rule of thumb: {scaled}){check}.")
    if best.advice:
        remarks.append(f"No limit could be set: {best.advice}.")
    return remarks + ([verified.sentence] if verified else [])


def _in_notebook() -> bool:
    """Whether a Jupyter kernel will display what a cell returns."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _image(picture: Picture) -> str:
    """The picture as a PNG in HTML."""
    data = base64.b64encode(picture.png()).decode("ascii")
    alt = html.escape(picture.description, quote=True)
    return f'<img style="max-width:800px;width:100%" alt="{alt}" src="data:image/png;base64,{data}">'
