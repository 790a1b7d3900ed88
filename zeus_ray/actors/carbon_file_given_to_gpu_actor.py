"""Signals from files: the job opens its file itself, as its own user, and gives the GPU's actor the content.

So no path that a job names is ever opened by an actor. What was given is kept in the actor's state folder: a
restarted actor goes on with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeus_ray.carbon.constant_and_recorded_signal import RecordedSignal
from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.carbon.series import Series, Signal
from zeus_ray.errors import BadInput
from zeus_ray.leases.read_and_replace_files import read_file
from zeus_ray.leases.state_dir import make_private
from zeus_ray.records import EmissionsConfig, from_json, to_json

OF_THE_JOB = "job:"
"""Begins the text of a signal that the job has given."""
MOST_VALUES = 1_000_000
SIGNALS_KEPT = 16

logger = logging.getLogger("zeus_ray")


@dataclass(frozen=True, kw_only=True)
class JobSignal:
    """The content of a signal's file: values from ``start_s`` on, one per ``step_s``, per ``unit``."""

    start_s: float
    step_s: float
    unit: str
    values: tuple[float, ...]

    @property
    def text(self) -> str:
        """The signal's name for the actor."""
        return OF_THE_JOB + hashlib.sha256(to_json(self).encode()).hexdigest()[:32]


def read_job_signal(emissions: str) -> tuple[str, JobSignal | None]:
    """What a lease's emissions (JSON) say, with the content of the signal's file where it is one.

    Raises:
        BadInput: the file is none, or too long, or holds no signal.
    """
    config = from_json(EmissionsConfig, emissions) if emissions else None
    if config is None or not config.signal.strip().startswith("csv:"):
        return emissions, None
    opened = open_signal(config.signal)
    assert isinstance(opened, RecordedSignal)  # noqa: S101 — for the type checker: a file is one
    series = opened.series
    if len(series) > MOST_VALUES:
        raise BadInput(f"{config.signal} has {len(series)} intervals; allowed: {MOST_VALUES}")
    values = tuple(float(value) for value in series.values)
    signal = JobSignal(start_s=series.start_s, step_s=series.step_s, unit=opened.unit, values=values)
    return to_json(dataclasses.replace(config, signal=signal.text)), signal


class JobSignals:
    """The signals that jobs have given to one actor.

    Args:
        folder: where they are kept; it is created when there is one.
        otherwise: opens a signal that is no file.
    """

    def __init__(self, folder: Path, otherwise: Callable[[str], Signal]) -> None:
        self._folder = folder
        self._otherwise = otherwise
        self._given: dict[str, JobSignal] = {}

    def take(self, signal: JobSignal) -> None:
        """Keep a signal; the oldest one is forgotten where there are many. A full disk is logged."""
        if len(signal.values) > MOST_VALUES:
            raise BadInput(f"a signal of {len(signal.values)} values; allowed: {MOST_VALUES}")
        self._given[signal.text] = signal
        while len(self._given) > SIGNALS_KEPT:
            del self._given[next(iter(self._given))]
        try:
            path = make_private(self._folder) / self._name(signal.text)
            draft = path.with_suffix(".draft")
            draft.write_text(to_json(signal))
            draft.replace(path)
            for old in sorted(self._folder.glob("*.signal"), key=lambda p: p.stat().st_mtime)[:-SIGNALS_KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("zeus-ray: a signal cannot be kept for a restarted actor: %s", error)

    def open(self, text: str) -> Signal:
        """The signal of this text. Raises BadInput where no job has given it, and for a file."""
        kind = text.strip().partition(":")[0]
        if kind == "csv":
            raise BadInput("a file is opened by the job alone, which gives its content to the GPU's actor")
        if not text.startswith(OF_THE_JOB):
            return self._otherwise(text)
        signal = self._given.get(text)
        with contextlib.suppress(OSError, BadInput):
            most = 32 * MOST_VALUES
            signal = signal or from_json(JobSignal, read_file(self._folder / self._name(text), most))
        if signal is None or signal.text != text:
            raise BadInput("the signal that the job has given is not known here any more")
        return RecordedSignal(Series(signal.start_s, signal.step_s, np.array(signal.values)), signal.unit)

    @staticmethod
    def _name(text: str) -> str:
        return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.signal"
