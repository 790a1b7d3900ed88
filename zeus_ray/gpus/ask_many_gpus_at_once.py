"""The same question about many GPUs at once, each with a deadline: one that hangs delays no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from zeus_ray.errors import DeviceError
from zeus_ray.gpus.call_in_thread import CallInThread

ResultT = TypeVar("ResultT")


def each_within(
    seconds: float,
    names: Iterable[str],
    ask: Callable[[str], ResultT],
    *,
    otherwise: Callable[[str, Exception], ResultT],
) -> list[ResultT]:
    """``ask`` each name in a thread of its own, and wait together for ``seconds``.

    A thread that hangs is left to itself, and ends with the process.

    Args:
        seconds: the deadline of all.
        names: the GPUs.
        ask: the question.
        otherwise: the answer for a name whose question failed, or was not answered in time.
    """
    calls = {name: CallInThread(partial(ask, name), name=f"zeus-ray-{name}") for name in names}
    until_s = time.monotonic() + seconds
    late = DeviceError(f"the GPU or its driver does not answer within {seconds:g} s")
    answers = []
    for name, call in calls.items():
        in_time = call.ended(max(0.0, until_s - time.monotonic()))
        try:
            answers.append(call.answer() if in_time else otherwise(name, late))
        except Exception as error:  # noqa: BLE001 — the others must be answered
            answers.append(otherwise(name, error))
    return answers
