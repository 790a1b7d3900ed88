"""Signals to this process go on to the command that it has started."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from typing_extensions import Self

from zeus_ray.jobs.command_process import CommandProcess

SIGNALS_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class SignalsPassedOn:
    """Within ``with``, signals to this process go to the command, also those that came before it started."""

    def __init__(self) -> None:
        self._command: CommandProcess | None = None
        self._waiting: list[int] = []
        self._before: dict[signal.Signals, Any] = {}

    def to(self, command: CommandProcess) -> None:
        """The command has started."""
        self._command = command
        for number in self._waiting:
            command.pass_on(number)

    def __enter__(self) -> Self:
        """Take the signals."""
        self._before = {number: signal.signal(number, self._arrived) for number in SIGNALS_PASSED_ON}
        return self

    def __exit__(self, *_error: object) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _arrived(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 — as signal wants it
        if self._command is None:
            self._waiting.append(number)
        else:
            self._command.pass_on(number)
