"""Every error that zeus-ray raises on purpose.

ZeusError
├── BadInput            an argument, a setting or a file has an impossible value (also a ValueError)
├── TargetNotReached    nothing reached the target: no answer, or nothing to compare with
├── DoesNotFit          a batch size is too large for the GPU's memory
├── SignalLost          a provider of carbon intensity or price did not answer; caught before a training run
├── HistoryError        the history of a recurring job cannot be read or written
└── DeviceError         a GPU, its driver or the access to it failed
    ├── NoDevice        no GPU here, or not the one that was named
    ├── NotSupported    the GPU cannot do this (no energy counter, no power limit, a MIG slice)
    ├── NoPermission    reading works, setting needs root, SYS_ADMIN or zeusd
    ├── DeviceLost      the GPU stopped answering
    ├── NoAnswer        a daemon did not answer in time: it may still do what it was asked
    └── LeaseRefused    another trial holds the GPU at another power limit

Messages state what was given and what is allowed. Errors of other libraries (NVML, httpx) are mapped to
these in the one file that calls the library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ZeusError(Exception):
    """Base class of every error that zeus-ray raises on purpose."""


class BadInput(ZeusError, ValueError):
    """An argument, a setting or a file has an impossible value."""


class TargetNotReached(ZeusError):
    """Nothing reached the target.

    The default batch size did not, twice, so there is nothing to compare with; or no run of a finished search
    did, so there is no answer.
    """


class DoesNotFit(ZeusError):
    """A batch size is too large for the GPU's memory.

    Attributes:
        result: the result of the run so far, with the ``zeus/`` keys.
    """

    def __init__(self, message: str, result: Mapping[str, Any]) -> None:
        super().__init__(
            message, dict(result)
        )  # both arguments, so that pickle can rebuild it in another process
        self.result = dict(result)

    def __str__(self) -> str:
        """The message, without the result."""
        return str(self.args[0])


class SignalLost(ZeusError):
    """A provider of carbon intensity or price did not answer.

    Attributes:
        retry_after_s: how long the provider asks to wait (s); 0 where it does not say.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class HistoryError(ZeusError):
    """The history of a recurring job cannot be read or written."""


class DeviceError(ZeusError):
    """A GPU, its driver or the access to it failed."""


class NoDevice(DeviceError):
    """No GPU here, or not the one that was named."""


class NotSupported(DeviceError):
    """The GPU cannot do this: no energy counter, no power limit, a MIG slice."""


class NoPermission(DeviceError):
    """Setting a power limit needs root, SYS_ADMIN or zeusd; reading does not."""


class DeviceLost(DeviceError):
    """The GPU stopped answering."""


class NoAnswer(DeviceError):
    """A daemon did not answer in time: it may still do what it was asked, later."""


class LeaseRefused(DeviceError):
    """Another trial holds the GPU at another power limit."""
