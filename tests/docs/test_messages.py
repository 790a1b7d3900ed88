"""Each warning, and each error that is no BadInput, has an entry on the page for troubleshooting.

An entry's heading is a stable part of the message; `…` stands for what varies. A BadInput says itself what
was given and what is allowed, and need not have one.
"""

import ast
import functools
import re

import pytest
from pages import DOCS
from sources import FILES, nodes

from zeus_ray import errors

pytestmark = pytest.mark.slow
PAGE = DOCS / "guides" / "troubleshooting.md"
ENTRIES = re.findall(r"^#### `(.+)`$", PAGE.read_text(), re.MULTILINE)
LOGS = {"warning", "error", "exception", "warn_once"}
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type)} | {"RequestRefused"}
ERRORS -= {"BadInput"}
INTERNAL = {"… did not train", "no virtual GPU …; those of this source are …, …, …"}


def template(node):
    """The text of a message, with … for what varies."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%[\w.]*[sdgfr]", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    return "…"


def messages():
    """Every warning that is logged, and every error of ``ERRORS`` that is raised."""
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                if node.func.attr in LOGS:
                    yield template(node.args[0]).removeprefix("zeus-ray: ")
            elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                yield from [template(node.exc.args[0])] if getattr(node.exc.func, "id", "") in ERRORS else ()


@functools.cache
def pattern(entry):
    """The parts of an entry, in their order."""
    return re.compile("[^\n]*".join(re.escape(part.strip()) for part in entry.split("…")))


def is_about(entry, message):
    """Whether the parts of an entry occur in a message, in their order."""
    return pattern(entry).search(message) is not None


def test_each_message_has_an_entry():
    own_words = (message for message in messages() if len(re.findall(r"[a-z]{2,}", message)) > 1)
    missing = {
        text for text in own_words if text not in INTERNAL and not any(is_about(e, text) for e in ENTRIES)
    }
    assert missing == set()


def test_each_entry_is_about_a_message():
    strings = (
        node for path in FILES for node in nodes(path) if isinstance(node, ast.Constant | ast.JoinedStr)
    )
    texts = {template(node).replace("\n", " ") for node in strings}
    messages_of_all = "\n".join(text for text in texts if len(text) < 500)  # longer ones are docstrings
    assert [entry for entry in ENTRIES if not is_about(entry, messages_of_all)] == []
    assert len(ENTRIES) == len(set(ENTRIES)) > 100
