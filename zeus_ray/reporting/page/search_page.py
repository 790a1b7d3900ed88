"""The report of a search: what was asked, the answer, pictures, trials, what it took, how it was measured."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from zeus_ray import __version__
from zeus_ray.quantity_format import power
from zeus_ray.records import VIRTUAL_ENERGY
from zeus_ray.reporting.answer_rows import answer_rows
from zeus_ray.reporting.page.html_page import (
    PageSection,
    bullets,
    html_page,
    paragraphs,
    rows_table,
    scrolling,
    unbroken,
)
from zeus_ray.reporting.page.picture_html import picture_html
from zeus_ray.reporting.pictures.picture import Picture
from zeus_ray.reporting.saving_sentences import changes_against_baseline
from zeus_ray.reporting.savings import Savings
from zeus_ray.reporting.search_effort_sentences import how_measured, trials_text, what_is_real
from zeus_ray.reporting.search_sentences import ANSWER, ASKED, DETAILS, EMISSIONS, MEASURED, SEARCH
from zeus_ray.reporting.show import NEXT, SearchReport
from zeus_ray.reporting.trial_table import html_trial_table, table_notes
from zeus_ray.reporting.window_table import html_window_table


def search_page(report: SearchReport, more: Sequence[Picture] = (), missing: Sequence[str] = ()) -> str:
    """The page of a search.

    Args:
        report: of the search.
        more: further pictures, such as a power timeline.
        missing: one sentence for each picture that could not be drawn, beside those of the report.

    Raises:
        BadInput: Plotly is not installed.
    """
    saved = report.savings
    virtual = VIRTUAL_ENERGY.intersection(saved.measured_by)
    said = [how_measured(saved.measured_by, saved.gpus), *what_is_real(saved)]
    return html_page(
        "Report of a search",
        list(_sections(report, saved, more, [*report.not_drawn, *missing])),
        virtual=" ".join(said) if virtual else "",
        version=__version__,
    )


def _sections(
    report: SearchReport, saved: Savings, more: Sequence[Picture], missing: Sequence[str]
) -> Iterator[PageSection]:
    said = replace(report, folder="").by_subject  # this is the page that the last step would make
    yield PageSection(key="answer", title=ANSWER, body=_answer(saved, said[ANSWER]))
    if NEXT in said:
        yield PageSection(key="next", title=NEXT, body=bullets(said[NEXT], numbered=True))
    yield PageSection(key="asked", title=ASKED, body=_asked(report, said.get(ASKED, [])))
    yield PageSection(key="cost", title=SEARCH, body=paragraphs(said.get(SEARCH, [])))
    if DETAILS in said:
        yield PageSection(key="details", title=DETAILS, body=paragraphs(said[DETAILS]))
    pictures = "".join(map(picture_html, [*report.pictures.values(), *more]))
    yield PageSection(key="pictures", title="Pictures", body=pictures + bullets(missing))
    yield PageSection(key="trials", title="Trials", body=_trials(report))
    if report.windows.runs:
        table = scrolling(html_window_table(report.windows), "Table of named windows")
        yield PageSection(key="windows", title="Named windows", body=table)
    yield PageSection(key="emissions", title=EMISSIONS, body=_emissions(said.get(EMISSIONS, [])))
    yield PageSection(key="measured", title=MEASURED, body=_measured(saved, said[MEASURED]))
    software = (
        rows_table(report.found.software, "Versions in the process of the search") if report.found else ""
    )
    yield PageSection(
        key="software",
        title="Hardware and software",
        body=_hardware(saved) + (software or paragraphs(NO_VERSIONS)),
    )


NO_VERSIONS = [
    "The experiment stores no versions: it was run with an earlier zeus-ray, or by another searcher."
]
NO_SIGNAL = (
    "Emissions are unknown: the search had no signal of carbon intensity or price. Give it one with "
    'ZeusSearcher(..., objective="carbon", signal="uk").'
)


def _answer(saved: Savings, sentences: list[str]) -> str:
    first, *others = sentences
    cards = "" if saved.default_is_best or not saved.comparable else _cards(saved)
    doubt = f" Its {saved.objective} is not shown to be less: the change MAY BE CHANCE."
    lead = html.escape(first + (doubt if cards and saved.cost_share_interval.may_be_chance else ""))
    return f'<p class="lead">{lead}</p>{cards}{paragraphs(others)}'


def _cards(saved: Savings) -> str:
    """The changes against the baseline, large."""
    items = []
    for change in changes_against_baseline(saved):
        chance = ", may be chance" if change.unsure else ""
        sure = f"<br>90 %: {html.escape(change.interval)}{chance}" if change.interval else ""
        short, ends = unbroken(html.escape(change.short)), unbroken(html.escape(change.ends))
        items.append(f"<li><strong>{short}</strong>{ends}{unbroken(sure)}</li>")
    how = "as the search expects both" if saved.is_expected else "as measured"
    unit = ". Cost weighs energy and time, as asked" if saved.objective == "cost" else ""
    title = f"A training with the answer, against one with the baseline, {how}{unit}"
    return f'<p class="note">{title}:</p><ul class="changes" aria-label="{title}">{"".join(items)}</ul>'


def _asked(report: SearchReport, sentences: list[str]) -> str:
    if report.found is None:
        return paragraphs(sentences or ["The trials do not say what was asked."])
    wanted = ("target", "least", "batch sizes")
    rows = {"experiment": Path(report.folder).name} if report.folder else {}
    rows |= {name: text for name, text in answer_rows(report.found).items() if name in wanted}
    return paragraphs(sentences) + rows_table(rows | _default_and_seed(report), "As given to the search")


def _default_and_seed(report: SearchReport) -> dict[str, str]:
    """The knobs in use today, and the seed."""
    saved, rows = report.savings, {}
    goal, before = saved.goal, saved.baseline
    if goal is not None and goal.default_batch_size:
        rate = f", learning rate {before.lr:.3g}" if before is not None and before.lr > 0 else ""
        limit = (
            "" if before is None or math.isnan(before.power_limit_w) else f", {power(before.power_limit_w)}"
        )
        rows["default"] = f"batch size {goal.default_batch_size}{rate}{limit} as found on the GPU"
    if goal is not None and goal.seed is not None:
        rows["seed"] = str(goal.seed)
    return rows


def _trials(report: SearchReport) -> str:
    table = html_trial_table(report.trials, report.hyperparameters, report.winner())
    said = f"{trials_text(report.savings)}. {report.table_title}."
    return paragraphs([said]) + scrolling(table, "Table of trials") + bullets(table_notes(report.trials))


def _emissions(sentences: list[str]) -> str:
    return paragraphs(sentences or [NO_SIGNAL])


def _measured(saved: Savings, sentences: list[str]) -> str:
    errors = [t.energy_j_err / t.energy_j for t in saved.trials if t.energy_j > 0 and t.energy_j_err > 0]
    certain = [f"The energy of a trial is within {max(errors):.1%} of what is stated."] if errors else []
    ways = [f"Source of the joules: {', '.join(saved.measured_by) or 'none'}."]
    return paragraphs([*sentences, *ways, *certain])


def _hardware(saved: Savings) -> str:
    return rows_table({"GPUs": " and ".join(saved.gpus) or "none was measured"}, "Hardware of the trials")
