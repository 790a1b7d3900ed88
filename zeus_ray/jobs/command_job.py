"""``zeus-ray recur``: one recurrence of a job whose training is a command nobody wants to touch."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from zeus_ray.errors import BadInput
from zeus_ray.jobs.command_process import Command
from zeus_ray.jobs.job_log import AGAIN
from zeus_ray.jobs.metric_parser import MetricReader
from zeus_ray.jobs.recurring_job import TRIES, RecurringJob
from zeus_ray.objective import Prices
from zeus_ray.records import NAN, StopReason, Target, result_key
from zeus_ray.training.run import TrainingRun
from zeus_ray.units import energy, power, seconds

DONE, NOT_REACHED, TERMINATED = 0, 3, 128 + signal.SIGTERM
BATCH_SIZE, LR = "{batch_size}", "{lr}"


@dataclass(frozen=True, kw_only=True)
class Tonight:
    """How the command is run; see ``zeus-ray recur --help``."""

    command: Sequence[str]
    target: Target
    metrics_file: Path | None = None
    lr: float | None = None
    lr_rule: str = "linear"
    tries: int = TRIES
    grace_s: float = 30.0
    run_on: bool = False
    batch_sizes: Sequence[int] | str = ()

    def __post_init__(self) -> None:
        """Refuse a command that could not be varied."""
        text = " ".join(self.command)
        if not self.command:
            raise BadInput("no command: put it after --, such as -- python train.py --bs {batch_size}")
        if BATCH_SIZE not in text and len(self.batch_sizes) > 1:
            raise BadInput(f"the command has no {BATCH_SIZE}, so every batch size would train the same")
        if (LR in text) != (self.lr is not None):
            raise BadInput(f"{LR} in the command and --lr belong together: one was given without the other")
        if self.tries < 1 or self.grace_s < 0:
            raise BadInput(
                f"--tries is {self.tries}, --grace {self.grace_s:g}; allowed: 1 or more, 0 or more"
            )

    def arguments(self, run: TrainingRun) -> list[str]:
        """The command with this run's knobs in it. Other braces stay as they are."""
        knobs = {BATCH_SIZE: str(run.batch_size)}
        if self.lr is not None:
            knobs[LR] = f"{run.scale_lr(self.lr, self.lr_rule):.6g}"
        filled = list(self.command)
        for name, value in knobs.items():
            filled = [part.replace(name, value) for part in filled]
        return filled


class Failed(Exception):
    """The command ended with an error of its own."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the command ended with exit code {code}")
        self.code = code


def from_options(options: argparse.Namespace) -> int:
    """``zeus-ray recur``: check everything, then :func:`recur`."""
    name, _equals, value = options.target.partition("=")
    target = Target(name, _value(value) if value else None, options.mode)
    tonight = Tonight(
        command=options.command[1:] if options.command[:1] == ["--"] else options.command,
        target=target,
        metrics_file=options.metrics_file,
        lr=options.lr,
        lr_rule=options.lr_rule,
        tries=options.tries,
        grace_s=options.grace,
        run_on=options.run_on,
        batch_sizes=options.batch_sizes,
    )
    job = RecurringJob(
        options.history,
        options.job,
        batch_sizes=options.batch_sizes,
        default_batch_size=options.default_batch_size,
        target=target,
        objective=_objective(options.objective),
        signal=options.signal,
        eta=options.eta,
        power_limits_w=options.power_limits,
        max_power_w=options.max_power,
        gpus=options.gpus,
        max_epochs=options.max_epochs,
        points_to_evaluate=options.first,
        warm_start=options.warm_start,
    )
    return recur(job, tonight)


def _objective(text: str) -> Any:  # noqa: ANN401 — a word as it stands, which RecurringJob checks, or a Prices
    """``carbon``, or ``energy=0.30,time=2.0``."""
    if "=" not in text:
        return text
    try:
        return Prices(
            **{name: float(price) for name, _, price in (p.partition("=") for p in text.split(","))}
        )
    except (TypeError, ValueError):
        raise BadInput(
            f"--objective is {text!r}; allowed: energy, carbon, price, or prices as in energy=0.30,time=2.0"
        ) from None


def _value(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"--target value is {text!r}; allowed: a number, such as accuracy=0.95") from None


def recur(job: RecurringJob, tonight: Tonight) -> int:
    """Run until one training was not stopped for its cost. The exit code: see ``zeus-ray recur --help``."""
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        code, stopped = None, 0
        for _ in range(tonight.tries + len(tonight.batch_sizes)):
            code, out_of_memory = _once(job, tonight, to_the_end=stopped >= tonight.tries - 1)
            if code is not None:
                break
            stopped += not out_of_memory
    finally:
        signal.signal(signal.SIGTERM, before)
    for sentence in (*job.past().sentences(), job.expectation()):
        say(sentence)
    return NOT_REACHED if code is None else code


def _once(job: RecurringJob, tonight: Tonight, *, to_the_end: bool) -> tuple[int | None, bool]:
    """One run: its exit code, None where the job is still to be done; and whether memory was too small."""
    try:
        with job.run(to_the_end=to_the_end) as run:
            say(job.why(run.plan))
            _follow(run, tonight)
    except Failed as error:
        say(str(error))
        return error.code, False
    say(f"ended: {run.stop or 'by itself'}")
    if run.stop in AGAIN:
        return None, run.stop == StopReason.OUT_OF_MEMORY
    done = run.stop == StopReason.TARGET_REACHED or tonight.target.value is None
    return DONE if done else NOT_REACHED, False


def _follow(run: TrainingRun, tonight: Tonight) -> None:
    """Start the command, report what it writes, and stop it when the run should end."""
    reader = MetricReader(tonight.target.metric)
    command = Command(tonight.arguments(run), reader, tonight.metrics_file)
    reports = 0
    try:
        for value in command.values():
            if run.stop == StopReason.TARGET_REACHED and tonight.run_on:
                continue
            if value is not None:
                reports += 1
                _tell(reports, run.report({reader.name: value}), tonight.target)
            elif run.check():
                run.report({})
            if run.stop and not (run.stop == StopReason.TARGET_REACHED and tonight.run_on):
                return
    finally:
        command.stop(tonight.grace_s)
    if command.exit_code and command.out_of_memory:
        run.stop = StopReason.OUT_OF_MEMORY
        run.report({reader.name: NAN})
    elif command.exit_code:
        raise Failed(command.exit_code)
    elif not reports:
        where = tonight.metrics_file or "its output"
        say(f"the command wrote no {reader.name!r} to {where}: nothing was learned from it")


def _tell(number: int, row: dict[str, object], target: Target) -> None:
    """One line per report."""
    used_j, time_s, limit_w = (
        float(str(row[result_key(n)])) for n in ("energy_j", "time_s", "power_limit_w")
    )
    goal = "" if target.value is None else f" of {target.value:g}"
    say(
        f"{number}: {target.metric} {row[target.metric]:.4g}{goal}, {energy(used_j)} in {seconds(time_s)}, "
        f"limit {power(limit_w)}"
    )


def say(sentence: str) -> None:
    """To standard error: the command's output stays its own."""
    sys.stderr.write(f"zeus-ray: {sentence}\n")
    sys.stderr.flush()


def _terminated(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 — as signal wants it
    """End in order: stop the command, give limits back, and blame no batch size."""
    raise SystemExit(TERMINATED)
