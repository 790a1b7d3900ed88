"""``zeus-ray carbon run``: start a command when the signal makes it cleanest, or cheapest."""

from __future__ import annotations

from typing import Annotated

import typer


def carbon_run_command(
    signal: Annotated[
        str,
        typer.Option(
            metavar="SIGNAL", help="Carbon intensity or price; `zeus-ray carbon --help` lists the signals."
        ),
    ],
    hours: Annotated[float, typer.Option(metavar="H", help="How long the command takes (hours).")],
    before: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When it must have ended, as in 2026-12-01T08:00 (local time; default: in two days).",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be waited for, and start nothing.")
    ] = False,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="The command, as you start it today.")
    ] = None,
) -> None:
    """Start a command at the time at which it emits, or costs, least, and still ends in time.

    What is waited for, and what that is expected to save, is said at once and whenever the forecast changes
    it. Then the command runs, unchanged, and what its GPUs used and emitted is said at its end. To pause and
    go on within a search instead, use EnergyScheduler.

    ```sh
    zeus-ray carbon run --hours 6 --before 2026-12-01T08:00 --signal uk -- python train.py
    ```
    """
    import logging
    import time

    from zeus_ray.carbon.open_signal import open_signal
    from zeus_ray.carbon.planning.start_advice import advise_start
    from zeus_ray.carbon.planning.wait_for_start import start_sentence, wait_for_start
    from zeus_ray.cli.time_argument import local_date_and_time
    from zeus_ray.errors import BadInput
    from zeus_ray.jobs.command_process import print_line
    from zeus_ray.jobs.measured_command import energy_of_command
    from zeus_ray.records import EmissionsConfig
    from zeus_ray.training.plan_from_config_or_arguments import plan_from_config

    if not command and not dry_run:
        raise BadInput("no command: put it after --, such as zeus-ray carbon run … -- python train.py")
    logging.getLogger("zeus_ray").addHandler(logging.NullHandler())  # a signal's warnings are in the notes
    deadline = None if before is None else local_date_and_time(before, "--before")
    if dry_run:
        print_line(start_sentence(advise_start(signal, hours=hours, deadline=deadline, now_s=time.time())))
        return
    wait_for_start(signal, hours=hours, deadline=deadline, say=print_line)
    emissions = EmissionsConfig(signal=signal, unit=open_signal(signal).unit)
    used = energy_of_command(command or (), plan_from_config({}, batch_size=1, emissions=emissions), env={})
    for sentence in used.sentences():
        print_line(sentence)
    raise typer.Exit(used.exit_code)
