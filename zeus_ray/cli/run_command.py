"""``zeus-ray run``: one long run of a command that stays as it is, at the power limit that suits it."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from zeus_ray.cli.shared_options import CommandGpus
from zeus_ray.cli.time_argument import seconds_of

SUPERVISED_EXIT_CODES = """\
Exit codes:

- the command's own; 128 + n where signal n ended it
- 2: bad input: the command was not started
"""
_limit_option = partial(typer.Option, rich_help_panel="The power limit")
_output_option = partial(typer.Option, rich_help_panel="What is read from the output")
_told_option = partial(typer.Option, rich_help_panel="What you are told")
Watts = Any
"""What the parser of a list of limits returns; typer takes no other annotation with a parser."""


def _watts(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def run_command(  # noqa: PLR0917 — typer calls it with keywords
    gpus: CommandGpus = None,
    eta: Annotated[
        float | None,
        _limit_option(
            help="Weight of energy against time, 1 is energy alone, 0 is time alone (default: 0.5)."
        ),
    ] = None,
    max_slowdown: Annotated[
        float | None,
        _limit_option(
            metavar="X",
            help="Instead of --eta: the least energy in at most X times the time at the highest limit.",
        ),
    ] = None,
    power_limits: Annotated[
        Watts,
        _limit_option(
            parser=_watts, metavar="W,W,…", help="Power limits to choose from (W; default: the GPU's range)."
        ),
    ] = None,
    window: Annotated[
        str, _limit_option(metavar="TIME", help="Measured per limit, at least, and five lines of progress.")
    ] = "5s",
    job: Annotated[
        str,
        _limit_option(
            metavar="NAME",
            help="Keep the power profile under this name: a run that is requeued goes on at its limit.",
        ),
    ] = "",
    history: Annotated[
        str | None, _limit_option(metavar="URI", help="Where jobs are kept (default: zeus-history).")
    ] = None,
    progress_regex: Annotated[
        str | None,
        _output_option(
            metavar="REGEX",
            help="How the count of steps is read from a line: a group around it, and perhaps a second around "
            "the total (default: the usual forms).",
        ),
    ] = None,
    metric: Annotated[
        str, _output_option(metavar="NAME", help="A metric to tell beside the energy, such as val_loss.")
    ] = "",
    metric_regex: Annotated[
        str | None,
        _output_option(metavar="REGEX", help="How it is read from a line, with a group around the number."),
    ] = None,
    every: Annotated[
        str, _told_option(metavar="TIME", help="Tell energy and limit so often: 10s, 5m, 1h; 0: never.")
    ] = "10m",
    json: Annotated[
        Path | None, _told_option("--json", metavar="FILE", help="Write the summary to this file, too.")
    ] = None,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="The training, as you start it today.")
    ] = None,
) -> None:
    r"""Run a command at the power limit that suits it, found while it trains.

    The command and its code stay as they are. The GPUs that it sees (CUDA_VISIBLE_DEVICES) are measured from
    beside it, all under one power limit. Its steps are read from its output: a tqdm or Keras bar, or lines
    such as step 300/1000, iter 300:, Train: 0 [ 50/1251]. With them a few limits are measured, the highest
    first, and the best is held; when the load changes, a few are measured again. Without them energy is
    measured and no limit is changed, which is said after a minute: then say how to read steps, with
    --progress-regex.

    Signals are passed on, the exit code is the command's, and the limits are restored at the end, also after
    SIGKILL. What is told goes to standard error; standard output is the command's. Start one supervisor per
    machine, around torchrun and not within it; on several machines, each chooses by itself.

    ```sh
    zeus-ray run -- torchrun --nproc-per-node 8 train.py
    zeus-ray run --max-slowdown 1.03 --gpus 0,1 --metric eval_loss -- python train.py
    zeus-ray run --progress-regex 'samples seen: (\d+)' --json energy.json -- ./train.sh
    ```
    """
    from zeus_ray.jobs.run_supervised_command import SupervisionSettings, run_supervised
    from zeus_ray.records import OnlineOptions
    from zeus_ray.records.plan_given_to_trial import REPORTED_STEPS
    from zeus_ray.training.online_limit.kept_limit_profile import DEFAULT_HISTORY
    from zeus_ray.training.plan_from_config_or_arguments import plan_from_config

    plan = plan_from_config(
        {},
        batch_size=1,
        power_limits_w=power_limits,
        eta=eta,
        max_slowdown=max_slowdown,
        online=OnlineOptions(unit=REPORTED_STEPS, job=job, history=history or DEFAULT_HISTORY),
    )
    settings = SupervisionSettings(
        command=command or (),
        plan=plan,
        env={} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus},
        progress_regex=progress_regex,
        metric=metric,
        metric_regex=metric_regex,
        every_s=seconds_of(every, "--every") or math.inf,
        summary_file=json,
        window_s=seconds_of(window, "--window"),
    )
    raise typer.Exit(run_supervised(settings))
