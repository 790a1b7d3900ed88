"""``zeus-ray run``: a command that stays as it is, with a supervisor beside it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeus_ray.errors import BadInput
from zeus_ray.jobs.choose_counter_to_follow import ProgressFollower
from zeus_ray.jobs.command_process import CommandProcess, print_line
from zeus_ray.jobs.command_supervisor import CommandSupervisor
from zeus_ray.jobs.metric_parser import MetricParser
from zeus_ray.jobs.metric_values_from_output import MetricFromOutput
from zeus_ray.jobs.progress_parser import ProgressParser
from zeus_ray.jobs.signals_passed_on import SignalsPassedOn
from zeus_ray.records import NAN, Plan


@dataclass(frozen=True, kw_only=True)
class SupervisionSettings:
    """How a command is supervised.

    Attributes:
        command: program and arguments.
        plan: objective and limits to choose from, with ``online``.
        env: variables that the command gets besides those of this process.
        progress_regex: finds the count of steps in a line; None: the usual forms.
        metric: a metric to look for in the output; "": none.
        metric_regex: finds it; None: the usual forms.
        every_s: seconds between lines on energy and limit; inf: none.
        summary_file: where the summary is written as JSON; None: nowhere.
        window_s: seconds measured per limit, at least.

    Raises:
        BadInput: no command, or a time that is not above 0.
    """

    command: Sequence[str]
    plan: Plan
    env: Mapping[str, str]
    progress_regex: str | None = None
    metric: str = ""
    metric_regex: str | None = None
    every_s: float = math.inf
    summary_file: Path | None = None
    window_s: float = 5.0

    def __post_init__(self) -> None:
        """Check what was given."""
        if not self.command:
            raise BadInput("no command: put it after --, such as zeus-ray run -- python train.py")
        if not (self.every_s > 0 and self.window_s > 0):
            raise BadInput(
                f"--every is {self.every_s:g} s, --window {self.window_s:g} s; allowed: more than 0"
            )
        if self.metric_regex is not None and not self.metric:
            raise BadInput("--metric-regex says how the metric is read: give --metric, its name, too")


def run_supervised(settings: SupervisionSettings) -> int:
    """Run the command to its own end, measured, at the limit that suits it. Returns its exit code.

    Signals go to the command, which decides what to do with them.

    Raises:
        BadInput: no such program, GPU or limit.
        LeaseRefused: another run holds a GPU at another limit.
        OSError: the summary cannot be written.
    """
    progress = ProgressFollower(ProgressParser(settings.progress_regex))
    metric = _metric(settings)
    env = {**os.environ, **settings.env}
    supervisor = CommandSupervisor(settings.plan, progress, print_line, env=env, window_s=settings.window_s)
    try:
        code, value = _follow(settings, supervisor, metric)
        summary = supervisor.end(settings.command, code, value)
    finally:
        supervisor.release()
    for sentence in summary.sentences():
        print_line(sentence)
    if settings.summary_file is not None:
        settings.summary_file.write_text(summary.to_text() + "\n")
    return code


def _follow(
    settings: SupervisionSettings, supervisor: CommandSupervisor, metric: MetricFromOutput | None
) -> tuple[int, float]:
    """Start the command and follow it to its end: its exit code, and the last value of the metric."""
    latest, next_s = NAN, time.monotonic() + settings.every_s
    with SignalsPassedOn() as signals:
        command = CommandProcess(settings.command, settings.env)
        signals.to(command)
        for line in command.lines():
            if line is None:
                supervisor.check()
            else:
                supervisor.line(line)
            for value in _metric_values(metric, line):
                latest = value
            if time.monotonic() >= next_s:
                next_s += settings.every_s
                shown = "" if math.isnan(latest) else f", {settings.metric} {latest:g}"
                print_line(supervisor.status(shown))
        code = command.exit_code
    for value in metric.end() if metric else ():
        latest = value
    if metric is not None:
        metric.say_if_never_read()
    if command.left_processes:
        print_line("processes that the command started still run: they are not measured any more")
    if code:
        print_line(f"the command ended with exit code {code}")
    return code, latest


def _metric(settings: SupervisionSettings) -> MetricFromOutput | None:
    if not settings.metric:
        return None
    return MetricFromOutput(MetricParser(settings.metric, settings.metric_regex), print_line)


def _metric_values(metric: MetricFromOutput | None, line: str | None) -> list[float]:
    """The values that are final with ``line``; None: no line has come for a while."""
    if metric is None:
        return []
    if line is None:
        return metric.check()
    return metric.values(line)
