"""A run of a recurring job whose training is an unmodified command; see ``zeus-ray job run --help``."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from zeus_ray.errors import BadInput
from zeus_ray.jobs.command_process import CommandProcess, print_line
from zeus_ray.jobs.job_search import STOPPED_EARLY
from zeus_ray.jobs.metric_file import MetricFile
from zeus_ray.jobs.metric_parser import MetricParser
from zeus_ray.jobs.metric_values_from_output import MetricFromOutput
from zeus_ray.jobs.recurring_job import DEFAULT_TRIES, RecurringJob
from zeus_ray.quantity_format import energy, power, seconds
from zeus_ray.records import NAN, StopReason, Target, result_key
from zeus_ray.training.training_run import TrainingRun

EXIT_TRAINED, EXIT_NOT_REACHED, EXIT_TERMINATED = 0, 3, 128 + signal.SIGTERM
BATCH_SIZE_PLACEHOLDER, LR_PLACEHOLDER = "{batch_size}", "{lr}"


@dataclass(frozen=True, kw_only=True)
class CommandSettings:
    """How the command of a job is run.

    Attributes:
        command: program and arguments, with ``{batch_size}`` and ``{lr}`` in them.
        target: the metric to look for, and the value to reach.
        metrics_file: where the command writes its metric as JSON; None: in its output.
        metric_regex: finds the metric in a line; None: the usual forms.
        lr: learning rate tuned for the default batch size; None: the command has no ``{lr}``.
        lr_rule: as for ``run.scale_lr``.
        tries: runs until the job is done; the last is not stopped for its cost.
        grace_s: seconds from SIGTERM to SIGKILL.
        keep_running: at the target, let the command go on to its own end.
        batch_sizes: what the job chooses from, or "auto".
    """

    command: Sequence[str]
    target: Target
    metrics_file: Path | None = None
    metric_regex: str | None = None
    lr: float | None = None
    lr_rule: str = "linear"
    tries: int = DEFAULT_TRIES
    grace_s: float = 30.0
    keep_running: bool = False
    batch_sizes: Sequence[int] | str = ()

    def __post_init__(self) -> None:
        """Refuse a command that could not be varied."""
        text = " ".join(self.command)
        if not self.command:
            raise BadInput("no command: put it after --, such as -- python train.py --bs {batch_size}")
        if BATCH_SIZE_PLACEHOLDER not in text and len(self.batch_sizes) > 1:
            raise BadInput(
                f"the command has no {BATCH_SIZE_PLACEHOLDER}, so every batch size would train the same"
            )
        if (LR_PLACEHOLDER in text) != (self.lr is not None):
            raise BadInput(
                f"{LR_PLACEHOLDER} in the command and --lr belong together: one was given without the other"
            )
        if self.tries < 1 or self.grace_s < 0:
            raise BadInput(
                f"--tries is {self.tries}, --grace {self.grace_s:g}; allowed: 1 or more, 0 or more"
            )

    def arguments(self, run: TrainingRun) -> list[str]:
        """The command with this run's knobs in it. Other braces stay as they are."""
        knobs = {BATCH_SIZE_PLACEHOLDER: str(run.batch_size)}
        if self.lr is not None:
            knobs[LR_PLACEHOLDER] = f"{run.scale_lr(self.lr, self.lr_rule):.6g}"
        filled = list(self.command)
        for name, value in knobs.items():
            filled = [part.replace(name, value) for part in filled]
        return filled


class CommandFailed(Exception):
    """The command ended with an error of its own."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the command ended with exit code {code}")
        self.code = code


def run_command_job(job: RecurringJob, settings: CommandSettings) -> int:
    """Run the command until one run was not stopped for its cost.

    Returns:
        The exit code: 0 trained, 3 ended before the target, else the command's own.

    Raises:
        SystemExit: on SIGTERM, after the command was stopped and limits were restored.
    """
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        code, stopped = None, 0
        for _ in range(settings.tries + len(settings.batch_sizes)):
            code, out_of_memory = _once(job, settings, to_the_end=stopped >= settings.tries - 1)
            if code is not None:
                break
            stopped += not out_of_memory
    finally:
        signal.signal(signal.SIGTERM, before)
    for sentence in (*job.summary().sentences(), job.expectation()):
        print_line(sentence)
    return EXIT_NOT_REACHED if code is None else code


def _once(job: RecurringJob, settings: CommandSettings, *, to_the_end: bool) -> tuple[int | None, bool]:
    """One run: its exit code, None where the job is not done; and whether memory was too small."""
    try:
        with job.run(to_the_end=to_the_end) as run:
            print_line(job.why(run.plan))
            _follow(run, settings)
    except CommandFailed as error:
        print_line(str(error))
        return error.code, False
    print_line(f"ended: {run.stop or 'by itself'}")
    if run.stop in STOPPED_EARLY:
        return None, run.stop == StopReason.OUT_OF_MEMORY
    done = run.stop == StopReason.TARGET_REACHED or settings.target.value is None
    return EXIT_TRAINED if done else EXIT_NOT_REACHED, False


def _follow(run: TrainingRun, settings: CommandSettings) -> None:
    """Start the command, report what it writes, and stop it when the run should end."""
    parser = MetricParser(settings.target.metric, settings.metric_regex)
    file = MetricFile(settings.metrics_file, parser) if settings.metrics_file else None
    command = CommandProcess(settings.arguments(run))
    reports = 0
    try:
        for value in _metric_values(command, parser, file):
            if run.stop == StopReason.TARGET_REACHED and settings.keep_running:
                continue
            if value is not None:
                reports += 1
                _print_report(reports, run.report({parser.name: value}), settings.target)
            elif run.check():
                run.report({})
            if run.stop and not (run.stop == StopReason.TARGET_REACHED and settings.keep_running):
                return
    finally:
        command.stop(settings.grace_s)
    if command.exit_code and command.out_of_memory:
        run.stop = StopReason.OUT_OF_MEMORY
        run.report({parser.name: NAN})
    elif command.exit_code:
        raise CommandFailed(command.exit_code)
    elif not reports:
        where = settings.metrics_file or "its output"
        print_line(f"the command wrote no {parser.name!r} to {where}: the run counts as a crash")


def _metric_values(
    command: CommandProcess, parser: MetricParser, file: MetricFile | None
) -> Iterator[float | None]:
    """The metric each time it is written, and None now and then; ends with the command."""
    output = MetricFromOutput(parser, print_line)
    for line in command.lines():
        if line is None:
            yield from file.new_values() if file else ()
            yield None
        elif file is None:
            yield from output.values(line)
        if file is None:
            yield from output.check()
    yield from output.end()


def _print_report(number: int, row: dict[str, object], target: Target) -> None:
    """One line per report."""
    used_j, time_s, limit_w = (
        float(str(row[result_key(n)])) for n in ("energy_j", "time_s", "power_limit_w")
    )
    metric = target.text(float(str(row[target.metric])))
    goal = "" if target.value is None else f" of {target.value:g}"
    print_line(
        f"{number}: {target.metric} {metric}{goal}, {energy(used_j)} in {seconds(time_s)}, "
        f"limit {power(limit_w)}"
    )


def _terminated(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 — as signal wants it
    """Unwind: the command is stopped, limits are restored, and the run has no outcome."""
    raise SystemExit(EXIT_TERMINATED)
