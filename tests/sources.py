"""The files of the package and their syntax trees, each parsed once for all tests that read code."""

import ast
import functools
from pathlib import Path

import zeus_ray

PACKAGE = Path(zeus_ray.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


@functools.cache
def tree(path):
    return ast.parse(path.read_text())


def statements(block):
    """Each statement in ``block`` and in the blocks within, at any depth."""
    for statement in block:
        yield statement
        for part in ("body", "handlers", "orelse", "finalbody", "cases"):
            yield from statements(getattr(statement, part, ()))


@functools.cache
def nodes(path):
    """All nodes of the tree of a file."""
    return list(ast.walk(tree(path)))
