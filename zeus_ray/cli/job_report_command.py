"""``zeus-ray job report``: the runs of recurring jobs, and what they have saved."""

from __future__ import annotations

from typing import Annotated

import typer


def job_report_command(
    history: Annotated[
        str, typer.Option(metavar="URI", help="A folder, s3://… or gs://…, with the runs of all jobs.")
    ],
    job: Annotated[str | None, typer.Option(metavar="NAME", help="One job (default: all).")] = None,
) -> None:
    """Show the runs of recurring jobs, and what they have saved.

    Per job a table of runs, oldest first: batch size, power limit (W), energy, time, metric and why it
    ended; then the energy of all runs, and the saving against the default batch size at the highest power
    limit, with all exploring included.

    ```sh
    zeus-ray job report --history s3://bucket/zeus --job resnet-nightly
    ```

    Exit codes: 0; 1 the history has no run; 2 bad input.
    """
    from rich.console import Console

    from zeus_ray.jobs.job_summary import summarize
    from zeus_ray.store.event_log import job_names, open_job_log

    console = Console(highlight=False)
    summaries = [
        summarize(open_job_log(history, name).read(), name) for name in ([job] if job else job_names(history))
    ]
    shown = [summary for summary in summaries if summary.runs]
    for summary in shown:
        console.print(summary)
    if not shown:
        console.print(f"{history} has no run")
        raise typer.Exit(1)
