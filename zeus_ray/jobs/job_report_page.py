"""The report of recurring jobs as one HTML page: what each has used and saved, and its runs."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

from zeus_ray import __version__
from zeus_ray.errors import BadInput
from zeus_ray.jobs.job_history_picture import job_history_picture
from zeus_ray.jobs.job_summary import RUN_HEADINGS, JobSummary, run_cells
from zeus_ray.records import MeasuredBy
from zeus_ray.reporting.page.html_page import PageSection, bullets, html_page, paragraphs, scrolling
from zeus_ray.reporting.page.picture_html import picture_html
from zeus_ray.reporting.pictures.learning_curve_picture import learning_curve_picture
from zeus_ray.reporting.pictures.picture import Picture
from zeus_ray.reporting.window_table import html_window_table
from zeus_ray.store.event_log import LoggedEvent
from zeus_ray.store.events import RunEnded

NOT_MEASURED_WORDS = {MeasuredBy.SIMULATED: "SIMULATED", MeasuredBy.REPLAY: "REPLAYED from recorded traces"}


def jobs_page(summaries: Sequence[JobSummary], logs: Mapping[str, Sequence[LoggedEvent]]) -> str:
    """The page of one job or several.

    Args:
        summaries: of the jobs, with at least one run each.
        logs: the events of each job, by name.

    Raises:
        BadInput: Plotly is not installed.
    """
    sections = [
        PageSection(key=f"job-{number}", title=summary.job, body=_job(summary, logs[summary.job]))
        for number, summary in enumerate(summaries, 1)
    ]
    title = f"Report of {summaries[0].job}" if len(summaries) == 1 else "Report of recurring jobs"
    return html_page(title, sections, virtual=_virtual(summaries), version=__version__)


def _virtual(summaries: Sequence[JobSummary]) -> str:
    kinds = {run.report.measured_by for summary in summaries for run in summary.runs}
    words = [words for kind, words in NOT_MEASURED_WORDS.items() if kind in kinds]
    return f"Watts, joules and seconds of some or all runs are {' or '.join(words)}." if words else ""


def _job(summary: JobSummary, events: Sequence[LoggedEvent]) -> str:
    ended = [logged.event for logged in events if isinstance(logged.event, RunEnded)]
    draw: list[Callable[[], Picture]] = [lambda: job_history_picture(summary)]
    if ended:
        draw.append(lambda: learning_curve_picture(ended, ended[-1].target))
    drawn, missing = [], []
    for picture in draw:
        try:
            drawn.append(picture_html(picture()))
        except BadInput as error:
            missing.append(f"Not drawn: a picture, as {error}.")
    shown = paragraphs(summary.sentences()) + "".join(drawn) + bullets(missing) + _runs(summary)
    if summary.windows.runs:
        shown += scrolling(html_window_table(summary.windows), f"Named windows of {summary.job}")
    return shown


def _runs(summary: JobSummary) -> str:
    head = "".join(f'<th scope="col">{html.escape(name.replace(chr(10), " "))}</th>' for name in RUN_HEADINGS)
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in run_cells(run))}</tr>"
        for run in summary.runs
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return scrolling(table, f"Runs of {summary.job}")
