"""``zeus-ray``: the command line. Each command has a file, and imports what it needs when it runs."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from zeus_ray import __version__
from zeus_ray.cli.carbon_command import SignalHelp, carbon_command
from zeus_ray.cli.carbon_run_command import carbon_run_command
from zeus_ray.cli.demo_command import demo_command
from zeus_ray.cli.doctor_command import doctor_command
from zeus_ray.cli.job_report_command import job_report_command
from zeus_ray.cli.job_run_command import EXIT_CODES, job_run_command
from zeus_ray.cli.measure_command import measure_command
from zeus_ray.cli.report_command import report_command
from zeus_ray.cli.restore_command import restore_command
from zeus_ray.cli.run_command import SUPERVISED_EXIT_CODES, run_command
from zeus_ray.errors import ZeusError

BAD_INPUT, INTERRUPTED = 2, 130


class CommandGroup(TyperGroup):
    """The commands. An expected error is one line on standard error and an exit code, without a traceback."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 — a click.Context, from typer's own copy of click or not
        """Run the command that was given."""
        try:
            return super().invoke(ctx)
        except ZeusError as error:
            typer.echo(f"zeus-ray: {error}", err=True)
            raise typer.Exit(BAD_INPUT) from error
        except KeyboardInterrupt as error:
            typer.echo("zeus-ray: interrupted; all power limits have been restored", err=True)
            raise typer.Exit(INTERRUPTED) from error


app = typer.Typer(
    cls=CommandGroup,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
job_app = typer.Typer(rich_markup_mode="markdown", no_args_is_help=True)
app.command("demo")(demo_command)
app.command("doctor")(doctor_command)
app.command("restore")(restore_command)
app.command("report")(report_command)
carbon_app = typer.Typer(rich_markup_mode="markdown", cls=SignalHelp, invoke_without_command=True)
carbon_app.callback()(carbon_command)
carbon_app.command("run", epilog=SUPERVISED_EXIT_CODES, context_settings={"allow_interspersed_args": False})(
    carbon_run_command
)
app.add_typer(carbon_app, name="carbon")
app.command("run", epilog=SUPERVISED_EXIT_CODES, context_settings={"allow_interspersed_args": False})(
    run_command
)
app.command("measure", epilog=SUPERVISED_EXIT_CODES, context_settings={"allow_interspersed_args": False})(
    measure_command
)
app.add_typer(job_app, name="job", help="Recurring jobs: one run around a command; the report of all runs.")
job_app.command("run", epilog=EXIT_CODES, context_settings={"allow_interspersed_args": False})(
    job_run_command
)
job_app.command("report")(job_report_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"zeus-ray {__version__}")
        raise typer.Exit


@app.callback()
def _describe(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train to your target accuracy for the least energy, with Ray.

    - In your code: `import zeus_ray`; the README shows the ten lines.
    - Without touching your code: `zeus-ray run -- python train.py` finds the best power limit meanwhile.
    - Only the energy of a command: `zeus-ray measure -- python train.py`.
    - To see it work: `zeus-ray demo`.
    - On a machine with GPUs: `zeus-ray doctor` lists what works, and how to enable the rest.
    """


COMMAND = get_command(app)


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after ``zeus-ray``; None: those of this process.

    Returns:
        The exit code: 0 where the command worked, 2 for bad input, 130 if interrupted; a command's help
        lists its own.
    """
    try:
        COMMAND(args=arguments, prog_name="zeus-ray")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
