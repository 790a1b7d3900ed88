"""Names, docstrings and words: no name means two things, and everything public is described."""

import ast
import re
from collections import defaultdict

import pytest
from sources import FILES, PACKAGE, tree

ROOT = PACKAGE.parent

MAY_REPEAT = {
    "logger": "each module logs to the same logger",
    "ZeusCallback": "each framework has a class of this name, imported from its module",
    "session": "zeus.session and torch_trainer.session are the same entry point for two frameworks",
    "main": "the entry point of a command or a runnable example",
    "TYPE_CHECKING": "from typing",
    "__all__": "of packages",
    "Array": "the type of numpy's float arrays",
}

FORBIDDEN = re.compile(
    r"\b(nobody|dearer|horses?|the dead|believes?|believed|tenants?|custody|reckon(?:s|ed|ing)?"
    r"|comes? back to|tonight|boards?)\b",
    re.IGNORECASE,
)
FORBIDDEN_MODULES = {"books", "words"}


def public_names(path):
    """Classes, functions, constants and type aliases that a module defines at its top level."""
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def duplicates():
    homes = defaultdict(set)
    for path in FILES:
        for name in public_names(path):
            homes[name].add(str(path.relative_to(PACKAGE)))
    return {name: sorted(files) for name, files in homes.items() if len(files) > 1 and name not in MAY_REPEAT}


@pytest.mark.slow
def test_no_public_name_is_defined_in_two_modules():
    assert duplicates() == {}


def test_no_two_files_have_the_same_name():
    names = [path.name for path in FILES if path.name != "__init__.py"]
    assert {name for name in names if names.count(name) > 1} == set()
    assert not {path.stem for path in FILES} & FORBIDDEN_MODULES


def undocumented(node, where):
    """The public modules, classes, functions and methods in ``node`` that have no docstring."""
    if not ast.get_docstring(node):
        yield where
    if isinstance(node, ast.Module | ast.ClassDef):
        for inner in node.body:
            is_definition = isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if is_definition and not inner.name.startswith("_"):
                yield from undocumented(inner, f"{where}: {inner.name}")


@pytest.mark.slow
def test_everything_public_has_a_docstring():
    """Ruff's rules D say so, too, as long as no line switches them off."""
    found = [undocumented(tree(path), str(path.relative_to(PACKAGE))) for path in FILES]
    assert [one for of_file in found for one in of_file] == []


@pytest.mark.slow
def test_no_forbidden_words():
    pages = [*FILES, ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    words = {page: sorted({word.lower() for word in FORBIDDEN.findall(page.read_text())}) for page in pages}
    assert {str(page): bad for page, bad in words.items() if bad} == {}
