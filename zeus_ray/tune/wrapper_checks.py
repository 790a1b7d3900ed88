"""What a searcher must know of those who call it, and Ray Tune does not tell it.

Which wrappers stand around it: only those that pass every result on are allowed. And which objects Ray Tune
has replaced in the space by stand-ins: numpy's integers are such objects.
"""

from __future__ import annotations

import sys
from types import FrameType

from ray.tune.search import Searcher

from zeus_ray.errors import BadInput

STAND_IN = "__ref_ph"
"""The first element of the tuple that Ray Tune puts in place of an object of a space."""
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


def take_real_value(value: object) -> object:
    """The object of the space that ``value`` stands for; ``value`` itself where it is no stand-in.

    Call it while ``tune.run`` hands over its space: the objects are in a variable of it. They are taken out
    of there, because Ray Tune (2.60) fails on a trial that has a plain value in the place of a stand-in.
    """
    if not (isinstance(value, tuple) and len(value) == 2 and value[0] == STAND_IN):
        return value
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 — see above
    while frame is not None:
        resolvers = frame.f_locals.get("placeholder_resolvers") or {}
        for path, at_path in list(resolvers.items()):
            found = next((each for each in at_path if each.get_placeholder() == value), None)
            if found is not None:
                at_path.remove(found)
                if not at_path:
                    del resolvers[path]
                return found.resolve()
        frame = frame.f_back
    return value


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
