"""Every error zeus-ray raises on purpose.

ZeusError
├── BadInput            an argument, a setting or a file says something that cannot be (also a ValueError)
├── TargetNotReached    the default batch size did not reach the target, twice
├── DoesNotFit          a batch size is too large for the GPU's memory
├── SignalLost          a provider of carbon intensity gave no answer; never reaches a training run
├── HistoryError        where a recurring job is remembered cannot be read, or written
└── DeviceError         a board, or the way to it
    ├── NoDevice        there is none here, or not the one that was named
    ├── NotSupported    the board cannot do this (no energy counter, no power limit, a MIG slice)
    ├── NoPermission    reading works, setting needs root, SYS_ADMIN or zeusd
    ├── DeviceLost      it was there and no longer answers
    └── LeaseRefused    another trial holds the board at another power limit

Messages say what was given and what is allowed. Foreign errors (NVML's, httpx's) are mapped to
these in the one file that talks to the foreign thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ZeusError(Exception):
    """Base of everything raised on purpose."""


class BadInput(ZeusError, ValueError):
    """An argument, a setting or a file says something that cannot be."""


class TargetNotReached(ZeusError):
    """The default batch size did not reach the target, so there is nothing to compare with."""


class DoesNotFit(ZeusError):
    """A batch size is too large for the memory of the GPU; ``result`` is what is known of the run."""

    def __init__(self, message: str, result: Mapping[str, Any]) -> None:
        super().__init__(message, dict(result))  # both, so that it can be sent to another process
        self.result = dict(result)

    def __str__(self) -> str:
        """The message alone."""
        return str(self.args[0])


class SignalLost(ZeusError):
    """A provider of carbon intensity gave no answer. ``retry_after_s``: what it asked for, or 0."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class HistoryError(ZeusError):
    """The storage that remembers a recurring job does not answer."""


class DeviceError(ZeusError):
    """A GPU, or the way to it, failed."""


class NoDevice(DeviceError):
    """No GPU here, or not the one that was named."""


class NotSupported(DeviceError):
    """The board cannot do this: no energy counter, no power limit, a MIG slice."""


class NoPermission(DeviceError):
    """Setting a power limit needs root, SYS_ADMIN or zeusd; reading does not."""


class DeviceLost(DeviceError):
    """The board was there and no longer answers."""


class LeaseRefused(DeviceError):
    """Another trial holds the board at another power limit."""
