"""``zeus.show(result)``: the table, the saving and the Pareto plot, in a terminal or a notebook."""

from __future__ import annotations

import base64
import html
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zeus_ray.errors import BadInput
from zeus_ray.reporting.savings import savings
from zeus_ray.reporting.summary import TrialSummary, summaries
from zeus_ray.reporting.tables import columns, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

PICTURE_DPI = 110
CELL = "padding:3px 10px;white-space:nowrap;"


@dataclass(frozen=True)
class Shown:
    """A search, ready to be displayed: by rich, by a notebook, or as text.

    ``others``: further hyperparameters to show as columns.
    """

    trials: tuple[TrialSummary, ...]
    others: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """What was saved, what the search took, when it has paid for itself, and how it was measured."""
        return savings(self.trials).sentences()

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


def show(result: Any, metric: str | None = None, *, others: Sequence[str] = ()) -> Shown:  # noqa: ANN401 — Ray is not typed
    """Show a search: in a terminal it is printed, in a notebook the value of the cell displays itself.

    Args:
        result: what ``tune.run`` or ``Tuner.fit`` returned, or tuples (trial_id, config, last_result).
        metric: the result key to show; default: that of the search's target.
        others: further hyperparameters to show, such as ``["lr"]``.

    Raises:
        BadInput: ``result`` is something else.
    """
    shown = Shown(tuple(summaries(result, metric)), tuple(others))
    if not _in_notebook():
        from rich.console import Console  # noqa: PLC0415 — only what is shown needs rich

        Console().print(shown)
    return shown


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
        f'<th style="{CELL}text-align:{side}">{html.escape(column.heading)}</th>'
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
