"""Ray Tune replaces objects of a space, numpy's integers among them, by stand-ins: this finds the object."""

from __future__ import annotations

import sys
from types import FrameType

STAND_IN = "__ref_ph"
"""The first element of the tuple that Ray Tune puts in place of an object of a space."""


def take_real_value(value: object) -> object:
    """The object of the space that ``value`` stands for; ``value`` itself where it is no stand-in.

    Call it while ``tune.run`` hands over its space: the objects are in a variable of it. They are taken out
    of there, because Ray Tune (2.60) fails on a trial that has a plain value in the place of a stand-in.
    """
    if not (isinstance(value, tuple) and len(value) == 2 and value[0] == STAND_IN):
        return value
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 — Ray Tune does not pass them on
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
