"""The same question about many GPUs at once, each with a deadline: one that hangs delays no other."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar, cast

from zeus_ray.errors import DeviceError

AnswerT = TypeVar("AnswerT")


def each_within(
    seconds: float,
    names: Iterable[str],
    ask: Callable[[str], AnswerT],
    *,
    otherwise: Callable[[str, Exception], AnswerT],
) -> list[AnswerT]:
    """``ask`` each name in a thread of its own, and wait together for ``seconds``.

    A thread that hangs is left to itself, and ends with the process.

    Args:
        seconds: the deadline of all.
        names: the GPUs.
        ask: the question.
        otherwise: the answer for a name whose question failed, or was not answered in time.
    """
    answers: dict[str, AnswerT | None] = {}
    failed: dict[str, Exception] = {}
    answered: queue.SimpleQueue[tuple[str, AnswerT | None]] = queue.SimpleQueue()

    def work(name: str) -> None:
        try:
            answered.put((name, ask(name)))
        except Exception as error:  # noqa: BLE001 — the others must be answered
            failed[name] = error
            answered.put((name, None))

    names = list(names)
    for name in names:
        threading.Thread(target=work, args=(name,), name=f"zeus-ray-{name}", daemon=True).start()
    until_s = time.monotonic() + seconds
    while len(answers) < len(names):
        try:
            name, answer = answered.get(timeout=max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            break
        answers[name] = answer
    late = DeviceError(f"the GPU or its driver does not answer within {seconds:g} s")
    failed |= {name: late for name in names if name not in answers}
    return [
        otherwise(name, failed[name]) if name in failed else cast("AnswerT", answers[name]) for name in names
    ]
