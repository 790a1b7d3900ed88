"""Displays of a search's progress: a live one in a terminal, one in a notebook, and plain lines elsewhere."""

from __future__ import annotations

import atexit
import html
import sys
import time
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from zeus_ray.reporting.answer_rows import html_rows
from zeus_ray.tune.search_progress import SearchProgress

SHOWN_RUNNING = 8
"""Trials that run of which a row is shown; of more, their number is."""
STATE_EVERY_S = 600.0
"""In a log, the state is printed where no trial has ended for this long."""


class ProgressDisplay(Protocol):
    """Shows how far a search is, and the line of each trial that has ended."""

    def update(self, progress: SearchProgress) -> None:
        """The search is as far as this now."""

    def line(self, text: str) -> None:
        """A trial has ended."""

    def close(self) -> None:
        """The experiment has ended; twice changes nothing."""


def display_for(console: Console | None = None) -> ProgressDisplay:
    """The display that suits the output of this process. ``console``: another output than standard output."""
    if console is None and _in_notebook():
        return NotebookDisplay()
    console = console or Console()
    live = console.is_terminal and not console.is_dumb_terminal
    return TerminalDisplay(console) if live else PlainDisplay(console)


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython  # noqa: PLC0415 — only where it runs

    return getattr(get_ipython(), "kernel", None) is not None


class PlainDisplay:
    """A log file or a pipe, where nothing can be written anew: lines of trials, and now and then the state.

    No line is broken. The state is one line where no trial has ended for ten minutes, and a table at the end.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines = 0
        self._progress: SearchProgress | None = None
        self._printed_s = time.monotonic()

    def update(self, progress: SearchProgress) -> None:
        """Keep the state for the end, and print it where nothing was printed for long."""
        self._progress = progress
        if time.monotonic() - self._printed_s >= STATE_EVERY_S:
            self._print("; ".join(f"{name}: {text}" for name, text in progress.rows().items()))

    def line(self, text: str) -> None:
        """Print it with its number."""
        self._lines += 1
        self._print(f"{self._lines:>3}  {text}")

    def _print(self, text: str) -> None:
        self._printed_s = time.monotonic()
        self._console.print(Text(text), soft_wrap=not self._console.is_terminal)

    def close(self) -> None:
        """Print the state."""
        if self._progress is not None:
            self._console.print(progress_table(self._progress), highlight=False)
            self._progress = None


class TerminalDisplay(PlainDisplay):
    """The state below the lines of trials, written anew in its place.

    The cursor stays visible: a driver that is killed, or interrupted at a prompt, leaves a usable terminal.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live: Live | None = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()
        console.show_cursor()
        atexit.register(self.close)  # the state stays also where Tune does not end the experiment

    def update(self, progress: SearchProgress) -> None:
        """Write the state anew."""
        self._progress = progress
        if self._live is not None:
            self._live.update(progress_table(progress), refresh=True)

    def close(self) -> None:
        """Give the terminal back; the state stays as the last lines."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            atexit.unregister(self.close)
            super().close()


class NotebookDisplay:
    """One output of a cell that is written anew."""

    def __init__(self) -> None:
        from IPython.display import display  # noqa: PLC0415 — only in a notebook

        self._lines: list[str] = []
        self._progress = SearchProgress()
        self._handle = display(self, display_id=True)

    def _repr_html_(self) -> str:
        lines = "\n".join(f"{i:>3}  {html.escape(line)}" for i, line in enumerate(self._lines, 1))
        return html_rows(self._progress.rows(), "Search") + (
            f'<pre style="font-family:monospace">{lines}</pre>' if lines else ""
        )

    def __repr__(self) -> str:
        return "; ".join(f"{name}: {text}" for name, text in self._progress.rows().items())

    def update(self, progress: SearchProgress) -> None:
        """Write the output anew."""
        self._progress = progress
        self._handle.update(self)

    def line(self, text: str) -> None:
        """Add it to the output."""
        self._lines.append(text)

    def close(self) -> None:
        """The output stays as it is."""


def progress_table(progress: SearchProgress) -> Table:
    """The state of a search, and its running trials, in at most 80 columns."""
    table = Table.grid(padding=(0, 2))
    for name, text in progress.rows().items():
        table.add_row(f"[bold]{name}[/bold]", Text(text))
    for trial in progress.running[:SHOWN_RUNNING]:
        cells = f"batch {trial.batch_size}", trial.power_limit, f"{trial.epochs} epochs", trial.metric
        text = "  ".join(cell for cell in (*cells, trial.energy) if cell)
        table.add_row("[dim]running[/dim]", Text(text))
    if len(progress.running) > SHOWN_RUNNING:
        table.add_row("", f"and {len(progress.running) - SHOWN_RUNNING} more")
    return table
