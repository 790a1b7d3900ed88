"""Refuses wrappers of a searcher, such as ``Repeater``, that do not pass every result on to it."""

from __future__ import annotations

import sys
from types import FrameType

from ray.tune.search import Searcher

from zeus_ray.errors import BadInput

FRAMES = 6
"""Calls from a wrapper's method to ours, through Ray Tune's helpers."""


def refuse_wrappers(searcher: Searcher) -> None:
    """Raise BadInput where a wrapper that keeps results to itself is about to use ``searcher``.

    Call it from a method that wrappers call: it looks at who is calling. ``Repeater`` is such a wrapper: it
    passes on the mean of the last metrics, without energy, time or power profile.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 — a wrapper does not introduce itself
    for _ in range(FRAMES):
        if frame is None:
            return
        _check(frame.f_locals.get("self"), searcher)
        frame = frame.f_back


def innermost_searcher(outermost: object) -> object:
    """What is inside of all wrappers; ``outermost`` itself where there is none."""
    while hasattr(outermost, "searcher"):
        outermost = outermost.searcher
    return outermost


def refuse_wrapped(outermost: object, searcher: object) -> None:
    """Raise BadInput where a wrapper from ``outermost`` inwards to ``searcher`` keeps results to itself."""
    wrapper = outermost
    while hasattr(wrapper, "searcher"):
        _check(wrapper, searcher)
        wrapper = wrapper.searcher


def _check(wrapper: object, searcher: object) -> None:
    if not isinstance(wrapper, Searcher) or wrapper is searcher or searcher is None:
        return
    if innermost_searcher(wrapper.__dict__.get("searcher")) is not searcher:
        return
    if type(wrapper).on_trial_result is Searcher.on_trial_result:
        name = type(wrapper).__name__
        raise BadInput(
            f"{name} does not pass on the results of trials, so ZeusSearcher would know neither their energy "
            "nor their time: use ZeusSearcher without it (ConcurrencyLimiter is allowed). A batch size that "
            "is worth repeating is repeated by the search itself"
        )
