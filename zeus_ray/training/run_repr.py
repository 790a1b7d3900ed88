"""A training run in words: for ``repr``, and as a table in a notebook."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

from zeus_ray.quantity_format import energy, power, seconds, three_digits
from zeus_ray.records import VIRTUAL_ENERGY, MeasuredBy
from zeus_ray.reporting.search_effort_sentences import how_measured

if TYPE_CHECKING:
    from zeus_ray.training.training_run import TrainingRun


def run_rows(run: TrainingRun) -> dict[str, str]:
    """What the run is and has used, by its last report, with units."""
    last = run.last_report
    rows = {"batch size": str(run.batch_size)}
    if run.accumulate > 1:
        rows["micro-batches per step"] = str(run.accumulate)
    rows["GPU"] = run.gpu or "none"
    if last is not None:
        rows |= {"power limit": power(last.power_limit_w), "epochs": three_digits(last.epochs)}
        if not math.isnan(last.energy_j):
            rows["energy"] = energy(last.energy_j)
        rows["time"] = seconds(last.time_s)
    if run.stop is not None:
        rows["ended"] = run.stop.value
    if run.measured_by in (*VIRTUAL_ENERGY, MeasuredBy.NONE):
        rows["measurement"] = how_measured((run.measured_by,), tuple(filter(None, (run.gpu,))))
    return rows


def run_repr(run: TrainingRun) -> str:
    """One line."""
    return f"<run: {'; '.join(f'{name}: {text}' for name, text in run_rows(run).items())}>"


def run_html(run: TrainingRun) -> str:
    """A table."""
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
        for name, text in run_rows(run).items()
    )
    return f"<table><caption>Training run</caption>{cells}</table>"
