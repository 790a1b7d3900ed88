"""``zeus-ray carbon``: carbon intensity or price now, its forecast, and when a job should start."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from rich.console import Console

    from zeus_ray.carbon.planning.start_advice import StartAdvice

SHOWN_HOURS = 48


class SignalHelp(TyperGroup):
    """Lists every signal of the provider registry when help is shown: the providers are imported for it."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 — click's, which typer hides
        """Add one line per signal to the help text."""
        from zeus_ray.carbon.open_signal import signal_specs

        lines = [f"- `--signal {spec}`: {about}" for spec, about in signal_specs()]
        self.help = "\n".join([self.help or "", "", "Signals:", "", *lines])
        super().format_help(ctx, formatter)


def carbon_command(
    ctx: typer.Context,
    signal: Annotated[
        str | None,
        typer.Option(metavar="SIGNAL", help="Carbon intensity (g/kWh) or price; see the list above."),
    ] = None,
    hours: Annotated[float, typer.Option(metavar="H", help="Length of the job (hours).")] = 4.0,
    deadline: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="When the job must have ended, as in 2026-12-01T08:00 (local time)."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show when a job should start, by carbon intensity or price.

    Prints the signal now, its forecast for two days, and the best start of a job of given length. The same
    signals work in your code, as in zeus_ray.ZeusSearcher(..., objective="carbon", signal="uk").

    ```sh
    zeus-ray carbon --signal uk --hours 6 --deadline 2026-12-01T08:00
    ```

    Exit codes: 0; 2 bad input, or the provider does not answer and nothing is cached.
    """
    import logging
    import time

    from zeus_ray.carbon.planning.start_advice import advise_start
    from zeus_ray.cli.time_argument import local_date_and_time
    from zeus_ray.errors import BadInput
    from zeus_ray.records import to_json

    if ctx.invoked_subcommand is not None:
        return
    if signal is None:
        raise BadInput("--signal is missing: which carbon intensity or price? See zeus-ray carbon --help")
    until = None if deadline is None else local_date_and_time(deadline, "--deadline")
    logging.getLogger("zeus_ray").addHandler(logging.NullHandler())  # a signal's warnings are in the notes
    advice = advise_start(signal, hours=hours, deadline=until, now_s=time.time())
    if json:
        typer.echo(to_json(advice))
    else:
        _print_advice(advice)


def _print_advice(advice: StartAdvice) -> None:
    from rich.console import Console

    from zeus_ray.carbon.planning.start_advice import local_time

    console = Console(highlight=False)
    console.print(f"[bold]{advice.signal}[/bold]: {advice.value_now:.4g} {advice.unit} now")
    _print_forecast(console, advice)
    now_mean, unit = advice.mean_if_started_now, advice.unit
    gain = f"{_difference(advice.best_mean, now_mean)} than {now_mean:.4g} if started now"
    console.print(
        f"{advice.hours:g} h from [green]{local_time(advice.best_start.timestamp())}[/green]: "
        f"{advice.best_mean:.4g} {unit} on average, "
        f"{gain if advice.best_mean != now_mean else 'which is to start now'}"
    )
    console.print(
        f"In several parts, with pauses: {advice.mean_with_pauses:.4g}, "
        f"{_difference(advice.mean_with_pauses, now_mean)} (Elastic pauses and resumes trials)"
    )
    for note in advice.notes:
        console.print(f"Note: {note}", style="yellow")


def _print_forecast(console: Console, advice: StartAdvice) -> None:
    """A bar per hour, those of the job marked, and the local time below every sixth hour."""
    from zeus_ray.reporting.terminal_bars import LABEL_WIDTH, bar_chart

    values = advice.forecast[:SHOWN_HOURS]
    starts = [advice.forecast_start + dt.timedelta(hours=i) for i in range(len(values))]
    best_end = advice.best_start + dt.timedelta(hours=advice.hours)
    marked = {i for i, start in enumerate(starts) if advice.best_start <= start < best_end}
    console.print(bar_chart(values, marked=marked), end="", no_wrap=True, overflow="crop")
    axis = [" "] * (LABEL_WIDTH + len(starts) + 5)
    for i, start in enumerate(starts, start=LABEL_WIDTH):
        local = start.astimezone()
        if local.hour % 6 == 0:
            axis[i : i + 5] = f"{local:%H:%M}"
    console.print("".join(axis).rstrip(), style="dim", no_wrap=True, overflow="crop")


def _difference(value: float, reference: float) -> str:
    """As "12% less"; without a percentage where the reference is not positive (prices)."""
    direction = "less" if value <= reference else "more"
    if not reference > 0:
        return f"{abs(reference - value):.3g} {direction}"
    return f"{abs(1 - value / reference):.0%} {direction}"
