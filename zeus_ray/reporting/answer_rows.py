"""The answer of a search as names and values, for ``repr`` and for a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

from zeus_ray.records import SearchAnswer
from zeus_ray.reporting.search_sentences import objective_text, target_text


def answer_rows(answer: SearchAnswer) -> dict[str, str]:
    """What was asked for, the answer, and other trade-offs, in words."""
    rows = {}
    if answer.goal is not None:
        rows["target"] = target_text(answer.goal)
        rows["least"] = objective_text(answer.goal)
        rows["batch sizes"] = ", ".join(map(str, answer.goal.batch_sizes))
    if answer.exploration is not None:
        rows["trials chosen"] = str(len(answer.exploration.runs))
    if math.isnan(answer.best.time_s.mean):
        return {**rows, "best": "nothing has reached the target yet"}
    rows["best"] = answer.best.knobs_text
    rows |= answer.best.expectations()
    return rows | {trade.name: trade.best.knobs_text for trade in answer.trade_offs}


def html_rows(rows: Mapping[str, str], title: str) -> str:
    """A table of names and values for a notebook."""
    cells = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(text)}</td></tr>'
        for name, text in rows.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{cells}</table>"
