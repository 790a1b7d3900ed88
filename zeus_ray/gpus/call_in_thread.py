"""A call in a thread of its own, so that its caller need not wait for a driver that hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

AnswerT = TypeVar("AnswerT")


class CallInThread(Generic[AnswerT]):
    """``call`` has begun in a thread. One that hangs is left to itself, and ends with the process.

    Args:
        call: what to call.
        name: of the thread.
    """

    def __init__(self, call: Callable[[], AnswerT], *, name: str) -> None:
        self._call = call
        self._answers: list[AnswerT] = []
        self._errors: list[BaseException] = []
        self._ended = threading.Event()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def ended(self, within_s: float = 0.0) -> bool:
        """Whether the call has returned or raised; waits for that ``within_s``."""
        return self._ended.wait(within_s)

    def answer(self) -> AnswerT:
        """What the call has returned or raised; it has ended."""
        if self._errors:
            raise self._errors[0]
        return self._answers[0]

    def _work(self) -> None:
        try:
            self._answers.append(self._call())
        except BaseException as error:  # noqa: BLE001 — it belongs to the caller
            self._errors.append(error)
        finally:
            self._ended.set()
