"""``zeus-ray report``: a search or recurring jobs, in the terminal or as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zeus_ray.reporting.emissions_csv import EmissionsRow


def report_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RESULT|HISTORY",
            help="The folder of an experiment of Ray Tune, or the history of recurring jobs "
            "(a folder, s3://…, gs://…).",
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write one HTML file with interactive pictures; it loads nothing."),
    ] = None,
    job: Annotated[
        str | None, typer.Option(metavar="NAME", help="One job of a history (default: all).")
    ] = None,
    power: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A power trace to draw in place of the stored one, of run.write_power_trace(FILE).",
        ),
    ] = None,
    emissions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Add a row for each trial or run to this CSV file, in CodeCarbon's columns; no run twice.",
        ),
    ] = None,
) -> None:
    """Report a search or a job: what was asked, the answer and how sure it is, what it saves and took.

    RESULT is the folder of an experiment, or the one around it, whose newest experiment counts; HISTORY is
    what you gave to `zeus-ray job run --history`. Without `--html` the report is printed.

    ```sh
    zeus-ray report --html report.html zeus-ray-demo
    zeus-ray report --job resnet-nightly --html nightly.html s3://bucket/zeus
    ```

    Exit codes: 0; 1 there is nothing to report; 2 bad input.
    """
    from zeus_ray.cli.read_experiment_folder import experiment_folder
    from zeus_ray.errors import BadInput

    folder = experiment_folder(source)
    if folder is not None:
        if job is not None:
            raise BadInput(f"--job names a job of a history, and {source} is an experiment of Ray Tune")
        _report_search(folder, html, power, emissions)
    else:
        if power is not None:
            raise BadInput("--power draws a trace beside a search; a history of jobs has none")
        _report_jobs(source, html, job, emissions)


def _report_search(folder: Path, page: Path | None, power: Path | None, emissions: Path | None) -> None:
    from rich.console import Console

    from zeus_ray.cli.read_experiment_folder import (
        experiment_report,
        power_pictures,
        read_experiment,
        sweep_pictures,
    )

    result = read_experiment(folder)
    report = experiment_report(result)
    if emissions is not None:
        from zeus_ray.reporting.emissions_rows_of_search import emissions_of_search

        _add_rows(emissions, emissions_of_search(result, report))
    if page is None:
        Console(highlight=False).print(report)
        return
    from zeus_ray.reporting.page.html_page import write_page
    from zeus_ray.reporting.page.search_page import search_page
    from zeus_ray.reporting.pictures.power_trace_parquet import power_trace_pictures

    sweeps, no_sweep = sweep_pictures(result, report)
    powers, no_power = (power_trace_pictures(power), []) if power else power_pictures(result, report)
    _announce(write_page(page, search_page(report, [*sweeps, *powers], [*no_sweep, *no_power])))


def _report_jobs(history: str, page: Path | None, job: str | None, emissions: Path | None) -> None:
    from rich.console import Console

    from zeus_ray.jobs.job_summary import summarize
    from zeus_ray.store.event_log import job_names, open_job_log

    names = [job] if job else job_names(history)
    logs = {name: open_job_log(history, name).read() for name in names}
    summaries = [summarize(events, name) for name, events in logs.items()]
    shown = [summary for summary in summaries if summary.runs]
    console = Console(highlight=False)
    if not shown:
        console.print(f"{history} has no run, and is no folder of an experiment of Ray Tune", soft_wrap=True)
        raise typer.Exit(1)
    if emissions is not None:
        from zeus_ray.jobs.emissions_rows_of_job import emissions_of_job

        _add_rows(emissions, [row for summary in shown for row in emissions_of_job(summary)])
    if page is None:
        for summary in shown:
            console.print(summary)
        return
    from zeus_ray.jobs.job_report_page import jobs_page
    from zeus_ray.reporting.page.html_page import write_page

    _announce(write_page(page, jobs_page(shown, logs)))


def _add_rows(path: Path, rows: list[EmissionsRow]) -> None:
    from zeus_ray.reporting.emissions_csv import append_rows

    typer.echo(f"wrote {append_rows(path, rows)} rows of {len(rows)} to {path.resolve()}", err=True)


def _announce(path: Path) -> None:
    typer.echo(f"wrote {path.resolve()}; open it in any browser")
