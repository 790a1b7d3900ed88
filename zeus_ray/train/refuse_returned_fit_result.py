"""Finds functions of a trial that return the ``Result`` of ``TorchTrainer.fit``, before they train.

Ray Tune takes a number or a dictionary from a function, and fails a trial that returns anything else, after
its whole training.
"""

from __future__ import annotations

import dis
import itertools
from types import CodeType

from zeus_ray.errors import BadInput

GIVES_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD")
"""Instructions that look ``fit`` up, in the versions of Python."""


def refuse_returned_fit(code: CodeType) -> None:
    """Refuse a function that returns what ``fit()`` does.

    Raises:
        BadInput: it does, and what to write instead.
    """
    if returns_fit(code):
        raise BadInput(
            f"{code.co_name} returns the Result of .fit(), which Ray Tune refuses after the whole training: "
            "call trainer.fit() without `return`, or return a dictionary, such as its metrics"
        )


def returns_fit(code: CodeType) -> bool:
    """Whether a function returns the value of a call of ``.fit()``, at once or from a variable."""
    steps = [(i.opname, i.argval) for i in dis.get_instructions(code)]
    names: set[object] = set()
    for at, (operation, name) in enumerate(steps):
        if name == "fit" and operation in GIVES_ATTRIBUTE:
            call = next((i for i in range(at, len(steps)) if steps[i][0].startswith("CALL")), len(steps))
            following = steps[call + 1 : call + 2]
            if following and following[0][0] == "RETURN_VALUE":
                return True
            names |= {what for operation, what in following if operation == "STORE_FAST"}
    pairs = itertools.pairwise(steps)
    return any(
        first.startswith("LOAD_FAST") and name in names and second == "RETURN_VALUE"
        for (first, name), (second, _) in pairs
    )
