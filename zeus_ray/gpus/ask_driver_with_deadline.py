"""Questions to the driver before any GPU is known, with a deadline: it may hang at its first call."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from zeus_ray.errors import NoDevice
from zeus_ray.gpus.call_in_thread import CallInThread

DRIVER_ANSWERS_WITHIN_S = 8.0

DriverAnswerT = TypeVar("DriverAnswerT")
_unanswered: CallInThread[Any] | None = None
"""The last question that was not answered in time; it may have been answered since."""


def ask_driver(what: str, ask: Callable[[], DriverAnswerT]) -> DriverAnswerT:
    """What ``ask`` returns or raises, within ``DRIVER_ANSWERS_WITHIN_S``.

    While an earlier question hangs, no other is begun: the driver's library would let it wait behind the
    first one. The thread that hangs is left to itself, and ends with the process.

    Raises:
        NoDevice: there is no answer in time; the message, which begins with ``what``, says what to do.
    """
    global _unanswered  # noqa: PLW0603 — one driver per machine
    if _unanswered is not None and not _unanswered.ended():
        raise _no_answer(what)
    question = CallInThread(ask, name="zeus-ray-driver")
    if not question.ended(DRIVER_ANSWERS_WITHIN_S):
        _unanswered = question
        raise _no_answer(what)
    return question.answer()


def _no_answer(what: str) -> NoDevice:
    return NoDevice(
        f"{what}: the driver does not answer within {DRIVER_ANSWERS_WITHIN_S:g} s; "
        "if nvidia-smi hangs as well, reload the driver or restart the machine"
    )


def _forget_in_child() -> None:
    """A forked child has not inherited the thread that waits."""
    global _unanswered  # noqa: PLW0603 — likewise
    _unanswered = None


os.register_at_fork(after_in_child=_forget_in_child)
