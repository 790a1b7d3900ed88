"""``zeus-ray measure``: what a command uses, with no power limit changed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from zeus_ray.cli.shared_options import CommandGpus
from zeus_ray.cli.time_argument import seconds_of


def measure_command(  # noqa: PLR0917 — typer calls it with keywords
    gpus: CommandGpus = None,
    signal: Annotated[
        str | None,
        typer.Option(
            metavar="SIGNAL",
            help="Carbon intensity or price, for emissions or cost; `zeus-ray carbon --help` lists them.",
        ),
    ] = None,
    every: Annotated[
        str, typer.Option(metavar="TIME", help="Print a row of a table so often: 1s, 5m; 0: never.")
    ] = "0",
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result to this file, as JSON.")
    ] = None,
    emissions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Add a row to this CSV file, in CodeCarbon's columns."),
    ] = None,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="The command, as you start it today.")
    ] = None,
) -> None:
    """Measure the energy of a command: nothing is changed, neither its code nor a power limit.

    All GPUs that it sees (CUDA_VISIBLE_DEVICES) count, from its start to its end, idle ones included. Energy
    of the CPUs and their memory is told apart, where Linux lets it be read (RAPL; usually root alone).

    What is told goes to standard error; standard output is the command's. Signals are passed on, and the exit
    code is the command's.

    ```sh
    zeus-ray measure -- python train.py
    zeus-ray measure --every 1s --signal uk --json energy.json -- ./evaluate.sh
    ```
    """
    from zeus_ray.carbon.open_signal import open_signal
    from zeus_ray.errors import BadInput
    from zeus_ray.jobs.command_process import print_line
    from zeus_ray.jobs.measured_command import energy_of_command
    from zeus_ray.records import EmissionsConfig
    from zeus_ray.reporting.emissions_csv import append_rows
    from zeus_ray.training.plan_from_config_or_arguments import plan_from_config

    if not command:
        raise BadInput("no command: put it after --, such as zeus-ray measure -- python train.py")
    priced = EmissionsConfig(signal=signal, unit=open_signal(signal).unit) if signal else None
    used = energy_of_command(
        command,
        plan_from_config({}, batch_size=1, emissions=priced),
        env={} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus},
        every_s=seconds_of(every, "--every") or math.inf,
    )
    for sentence in used.sentences():
        print_line(sentence)
    if json is not None:
        json.write_text(used.to_text() + "\n")
    if emissions is not None:
        append_rows(emissions, [used.emissions_row()])
    raise typer.Exit(used.exit_code)
