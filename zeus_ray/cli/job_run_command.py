"""``zeus-ray job run``: one run of a recurring job, around a command that stays as it is."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zeus_ray.errors import BadInput
from zeus_ray.records import Target

EXIT_CODES = """\
Exit codes:

- 0: trained to the target (without a target value: trained)
- 2: bad input
- 3: the command ended before the target, or no batch size fits in memory
- 130, 143: interrupted, terminated: the command was stopped, limits are restored, the run does not count
- other: the command's own, where it failed; 128 + n where signal n ended it
"""
_job_option = partial(typer.Option, rich_help_panel="The job")
_command_option = partial(typer.Option, rich_help_panel="The command")
_objective_option = partial(typer.Option, rich_help_panel="What to save")
_search_option = partial(typer.Option, rich_help_panel="The search")
Parsed = Any
"""What the parser of an option returns; typer takes no other annotation with a parser."""


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _integers_or_auto(text: str) -> tuple[int, ...] | str:
    return text if text == "auto" else _integers(text)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def job_run_command(  # noqa: PLR0917 — typer calls it with keywords
    history: Annotated[
        str, _job_option(metavar="URI", help="A folder, s3://… or gs://…, for all runs of all jobs.")
    ],
    job: Annotated[str, _job_option(metavar="NAME", help="Name of this job in the history.")],
    batch_sizes: Annotated[
        Parsed, _job_option(parser=_integers_or_auto, metavar="N,N,…", help="Batch sizes to try, or 'auto'.")
    ],
    default_batch_size: Annotated[
        int, _job_option(metavar="N", help="The batch size in use today, which all savings refer to.")
    ],
    target: Annotated[
        str,
        _job_option(metavar="NAME[=VALUE]", help="The metric and the value to reach, as in accuracy=0.75."),
    ],
    mode: Annotated[
        Literal["max", "min"], _job_option(help="Whether a higher or a lower metric is better.")
    ] = "max",
    metrics_file: Annotated[
        Path | None,
        _command_option(
            metavar="FILE", help="Read the metric from this file (JSON or JSON lines), not from the output."
        ),
    ] = None,
    metric_regex: Annotated[
        str | None,
        _command_option(
            metavar="REGEX",
            help="How the metric is read from a line, with one group around the number (default: the usual "
            "forms).",
        ),
    ] = None,
    lr: Annotated[
        float | None,
        _command_option(
            help="Learning rate tuned for the default batch size; {lr} in the command is scaled from it."
        ),
    ] = None,
    lr_rule: Annotated[
        Literal["linear", "sqrt", "none"],
        _command_option(
            metavar="RULE",
            help="Learning rate by batch size: linear, sqrt (for Adam-like optimisers) or none.",
        ),
    ] = "linear",
    objective: Annotated[
        str,
        _objective_option(
            metavar="WHAT",
            help="What to save: energy, carbon, price; or prices per kWh and per hour, as in "
            "energy=0.30,time=2.0, with --max-power.",
        ),
    ] = "energy",
    signal: Annotated[
        str | None,
        _objective_option(
            metavar="SIGNAL",
            help="Carbon intensity or price: uk, electricitymaps:DE, csv:FILE; see zeus-ray carbon --help.",
        ),
    ] = None,
    eta: Annotated[
        float | None,
        _objective_option(
            help="Weight of energy (carbon, money) against time: 1 is energy alone, 0 is time alone "
            "(default: 0.5; 1 with --max-slowdown)."
        ),
    ] = None,
    power_limits: Annotated[
        Parsed,
        _search_option(
            parser=_numbers, metavar="W,W,…", help="Power limits to try (W; default: the GPU's range)."
        ),
    ] = None,
    max_power: Annotated[
        float | None,
        _objective_option(metavar="W", help="Highest power limit of a GPU (W; default: the first GPU's)."),
    ] = None,
    max_slowdown: Annotated[
        float | None,
        _objective_option(
            metavar="X", help="Only power limits at most X times as slow as the fastest (default: any)."
        ),
    ] = None,
    gpus: Annotated[int, _command_option(metavar="N", help="GPUs that the command uses.")] = 1,
    max_epochs: Annotated[
        float, _search_option(metavar="N", help="Reports of the metric after which a run has failed.")
    ] = 100,
    exploration_budget: Annotated[
        float | None,
        _search_option(
            metavar="N",
            help="What exploring may cost beyond running the default, in runs of the default, plus what it "
            "has saved; inf: no bound (default: 1).",
        ),
    ] = None,
    horizon_runs: Annotated[
        int, _search_option(metavar="N", help="Runs to expect: the more, the more is spent on exploring.")
    ] = 50,
    points_to_evaluate: Annotated[
        Parsed, _search_option(parser=_integers, metavar="N,N,…", help="Batch sizes to try first.")
    ] = None,
    warm_start: Annotated[
        list[str] | None,
        _search_option(metavar="HISTORY/JOB", help="Begin with the runs of another job; may be repeated."),
    ] = None,
    grace: Annotated[float, _command_option(metavar="S", help="Time from SIGTERM to SIGKILL (s).")] = 30.0,
    tries: Annotated[
        int, _command_option(metavar="N", help="Runs at most; the last is not stopped for its cost.")
    ] = 3,
    keep_running: Annotated[
        bool, _command_option("--keep-running", help="Let the command run to its own end after the target.")
    ] = False,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND", help="The training, with {batch_size} and {lr} in it."),
    ] = None,
) -> None:
    r"""Train once, as one run of a recurring job.

    Asks the history of the job for a batch size and a power limit, runs the command with them, reads the
    metric from its output, and appends the result to the history. Power limits are profiled during
    training, one per report of the metric. Energy, savings and the reason of the choice go to standard error.

    The command prints its metric once per epoch, in a line such as accuracy=0.71, accuracy: 0.71 or
    {"accuracy": 0.71}, in a column called accuracy, or in a progress bar; or writes it to --metrics-file.
    Within the first minute of output you are told whether it can be read. At the target the command gets
    SIGTERM, and SIGKILL after --grace: by then it should have saved its model. A run that costs too much is
    stopped, and the command runs again with the best batch size known, --tries times at most.

    ```sh
    zeus-ray job run --history s3://bucket/zeus --job resnet-nightly \
      --batch-sizes 64,128,256,512 --default-batch-size 128 \
      --target accuracy=0.75 --lr 0.1 \
      -- python train.py --batch-size {batch_size} --lr {lr}
    ```
    """
    from zeus_ray.jobs.command_job import CommandSettings, run_command_job
    from zeus_ray.jobs.recurring_job import RecurringJob

    goal = _parsed_target(target, mode)
    how = CommandSettings(
        command=command or (),
        target=goal,
        metrics_file=metrics_file,
        metric_regex=metric_regex,
        lr=lr,
        lr_rule=lr_rule,
        tries=tries,
        grace_s=grace,
        keep_running=keep_running,
        batch_sizes=batch_sizes,
    )
    recurring = RecurringJob(
        history,
        job,
        batch_sizes=batch_sizes,
        default_batch_size=default_batch_size,
        target=goal,
        objective=parsed_objective(objective),
        signal=signal,
        eta=eta,
        power_limits_w=power_limits,
        max_power_w=max_power,
        gpus=gpus,
        max_slowdown=max_slowdown,
        exploration_budget=exploration_budget,
        max_epochs=max_epochs,
        horizon_runs=horizon_runs,
        points_to_evaluate=points_to_evaluate or (),
        warm_start=warm_start or (),
    )
    raise typer.Exit(run_command_job(recurring, how))


def parsed_objective(text: str) -> Any:  # noqa: ANN401 — what RecurringJob checks
    """The objective as RecurringJob takes it: a word as it stands, or Prices from "energy=0.30,time=2.0"."""
    from zeus_ray.objective import Prices

    if "=" not in text:
        return text
    pairs = (part.partition("=") for part in text.split(","))
    try:
        return Prices(**{name: float(price) for name, _, price in pairs})
    except (TypeError, ValueError):
        raise BadInput(
            f"--objective is {text!r}; allowed: energy, carbon, price, or prices as in energy=0.30,time=2.0"
        ) from None


def _parsed_target(text: str, mode: str) -> Target:
    metric, _, value = text.partition("=")
    try:
        number = float(value) if value else None
    except ValueError:
        raise BadInput(f"--target is {text!r}; allowed: a name and a number, as in accuracy=0.95") from None
    return Target(metric, number, mode)
