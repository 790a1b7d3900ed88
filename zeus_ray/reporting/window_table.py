"""Named windows of runs, such as "forward", summed by name: a table in the terminal and on a page."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zeus_ray.quantity_format import UNKNOWN, counted, energy, percent, seconds
from zeus_ray.records.window_usage import ReportedWindow

if TYPE_CHECKING:
    from rich.table import Table

WINDOW_HEADINGS = ("Window", "Count", "Energy", "Time", "Share of energy")


@dataclass(frozen=True, kw_only=True)
class WindowSums:
    """The windows of several runs.

    Attributes:
        runs: how many of them had windows.
        by_name: of each name, the sum over the runs that had it; ``run_energy_j`` of these runs.
    """

    runs: int
    by_name: Mapping[str, ReportedWindow]

    @property
    def caption(self) -> str:
        """What the figures are of."""
        return (
            f"Named windows of {counted(self.runs, 'run')}: of the GPUs of the reporting process, in the "
            "last attempt. A window that lies in another one counts in both."
        )

    def rows(self) -> list[tuple[str, ...]]:
        """As texts, in the order of :data:`WINDOW_HEADINGS`; the window with the most energy first."""
        return [
            (name, str(used.count), energy(used.energy_j), seconds(used.time_s), _share(used))
            for name, used in sorted(self.by_name.items(), key=lambda item: _least_last(item[1]))
        ]


def sum_windows(runs: Iterable[Mapping[str, ReportedWindow]]) -> WindowSums:
    """The windows of runs, added up by name."""
    by_name: dict[str, ReportedWindow] = {}
    having = [windows for windows in runs if windows]
    for windows in having:
        for name, used in windows.items():
            before = by_name.get(name, ReportedWindow(run_energy_j=0.0))
            by_name[name] = ReportedWindow(
                energy_j=before.energy_j + used.energy_j,
                time_s=before.time_s + used.time_s,
                count=before.count + used.count,
                run_energy_j=before.run_energy_j + used.run_energy_j,
            )
    return WindowSums(runs=len(having), by_name=by_name)


def window_table(sums: WindowSums) -> Table:
    """A rich table."""
    from rich import box  # noqa: PLC0415 — rich is imported only to display
    from rich.markup import escape  # noqa: PLC0415 — likewise
    from rich.table import Table  # noqa: PLC0415 — likewise

    table = Table(
        caption=escape(sums.caption), caption_justify="left", box=box.SIMPLE_HEAD, header_style="bold"
    )
    for number, heading in enumerate(WINDOW_HEADINGS):
        table.add_column(heading, justify="right" if number else "left")
    for row in sums.rows():
        table.add_row(*map(escape, row))
    return table


def html_window_table(sums: WindowSums) -> str:
    """The same in HTML."""
    head = "".join(f'<th scope="col">{html.escape(heading)}</th>' for heading in WINDOW_HEADINGS)
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in sums.rows()
    )
    return (
        f"<table><caption>{html.escape(sums.caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _share(used: ReportedWindow) -> str:
    share = used.energy_j / used.run_energy_j if used.run_energy_j > 0 else math.nan
    return UNKNOWN if math.isnan(share) else percent(share)


def _least_last(used: ReportedWindow) -> tuple[bool, float, float]:
    unknown = math.isnan(used.energy_j)
    return unknown, 0.0 if unknown else -used.energy_j, -used.time_s
