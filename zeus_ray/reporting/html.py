"""``zeus.show(result)``: the table, the saving and the Pareto plot, in a terminal or a notebook."""

from __future__ import annotations

import base64
import html
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zeus_ray import units
from zeus_ray.errors import BadInput
from zeus_ray.records import Best
from zeus_ray.reporting.savings import savings
from zeus_ray.reporting.tables import columns, table
from zeus_ray.reporting.trial_summary import TrialSummary, summaries
from zeus_ray.reporting.verification import Verification

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

PICTURE_DPI = 110
CELL = "padding:3px 10px;white-space:nowrap;"


@dataclass(frozen=True)
class Shown:
    """A search, ready to be displayed: by rich, by a notebook, or as text.

    ``others``: further hyperparameters to show as columns. ``answer``: what the search recommends.
    ``verified``: its final metric against the default's.
    """

    trials: tuple[TrialSummary, ...]
    others: tuple[str, ...] = ()
    answer: Best | None = None
    verified: Verification | None = None

    @property
    def sentences(self) -> list[str]:
        """What was saved, what the search took, when it has paid for itself, and how it was measured."""
        size = self.answer.batch_size if self.answer else None
        expected = [_expectation(self.answer)] if self.answer else []
        saved = savings(self.trials, batch_size=size)
        verified = [self.verified.sentence] if self.verified else []
        return saved.sentences() + expected + _of_the_best(saved.best, verified=bool(verified)) + verified

    def pareto(self) -> Figure | None:
        """Energy against time; None where no energy is known."""
        from zeus_ray.reporting import plots  # noqa: PLC0415 — only what is drawn needs matplotlib

        try:
            return plots.pareto(self.trials)
        except BadInput:
            return None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """For ``rich.print``."""
        yield table(self.trials, others=self.others, title="Trials, the cheapest to the target first")
        yield ""
        yield from (_plain(sentence) for sentence in self.sentences)

    def __str__(self) -> str:
        from rich.console import Console  # noqa: PLC0415 — only what is shown needs rich

        console = Console(file=io.StringIO(), width=140, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return capture.get()

    def __repr__(self) -> str:
        return f"<{len(self.trials)} trials: print() shows them>"

    def _repr_html_(self) -> str:
        """For a notebook: the table, the sentences, the picture within."""
        words = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.sentences)
        figure = self.pareto()
        picture = (
            f'<img style="max-width:800px;width:100%" alt="Pareto plot" src="{_png(figure)}">'
            if figure
            else ""
        )
        return f"<div>{_table(self.trials, self.others)}<ul>{words}</ul>{picture}</div>"


def show(
    result: Any,  # noqa: ANN401 — Ray is not typed
    metric: str | None = None,
    *,
    best: Best | None = None,
    others: Sequence[str] = (),
    verified: Verification | None = None,
) -> Shown:
    """Show a search: in a terminal it is printed, in a notebook the value of the cell displays itself.

    Args:
        result: what ``tune.run`` or ``Tuner.fit`` returned, or tuples (trial_id, config, last_result).
        metric: the result key to show; default: that of the search's target.
        best: the search's answer, ``searcher.best()``; None: the cheapest batch size on average.
        others: further hyperparameters to show, such as ``["lr"]``.
        verified: what :func:`zeus_ray.verify` found.

    Raises:
        BadInput: ``result`` is something else.
    """
    shown = Shown(tuple(summaries(result, metric)), tuple(others), best, verified)
    if not _in_notebook():
        from rich.console import Console  # noqa: PLC0415 — only what is shown needs rich

        Console().print(shown)
    return shown


def _expectation(best: Best) -> str:
    """What the search expects of its knobs: from all it saw, not from the luckiest trial."""
    limit = "the limit found" if best.power_limit_w is None else units.power(best.power_limit_w)
    energy_j, time_s = best.energy_j, best.time_s
    return (
        f"Expect of batch size {best.batch_size} at {limit}: {units.energy(energy_j.mean)} "
        f"({units.energy(energy_j.low)} to {units.energy(energy_j.high)}) and {units.seconds(time_s.mean)} "
        f"({units.seconds(time_s.low)} to {units.seconds(time_s.high)}) a training, nine times out of ten."
    )


def _of_the_best(best: TrialSummary | None, *, verified: bool) -> list[str]:
    """How the learning rate came about, and what a limit would have saved where none could be set."""
    if best is None:
        return []
    check = "" if verified else ", which zeus_ray.verify can check"
    rate = (
        f"Its learning rate is {best.lr:.3g} by the rule {best.lr_rule!r}, a rule of thumb{check}."
        if best.lr_rule
        else ""
    )
    advice = f"No limit could be set: {best.advice}." if best.advice else ""
    return [sentence for sentence in (rate, advice) if sentence]


def _in_notebook() -> bool:
    """Whether a Jupyter kernel will display what a cell returns."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _plain(sentence: str) -> Any:  # noqa: ANN401 — rich.text.Text
    from rich.text import Text  # noqa: PLC0415 — only what is shown needs rich

    return Text(sentence)


def _table(trials: Sequence[TrialSummary], others: Sequence[str]) -> str:
    ranked = sorted(trials, key=lambda trial: trial.rank)
    shown = columns(ranked, others)
    align = ["right" if column.right else "left" for column in shown]
    head = "".join(
        f'<th style="{CELL}text-align:{side}">{html.escape(column.in_one_line)}</th>'
        for column, side in zip(shown, align, strict=True)
    )
    rows = []
    for trial in ranked:
        cells = "".join(
            f'<td style="{CELL}text-align:{side}">{html.escape(column.cell(trial))}</td>'
            for column, side in zip(shown, align, strict=True)
        )
        rows.append(f'<tr style="{_row_style(trial)}">{cells}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _row_style(trial: TrialSummary) -> str:
    if trial.is_baseline:
        return "font-weight:bold"
    return "" if trial.target_reached else "opacity:0.55"


def _png(figure: Figure) -> str:
    """The figure as a data URL."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PICTURE_DPI, facecolor="white")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
