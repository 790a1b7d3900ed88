"""Who may import whom, and what a plain ``import zeus_ray`` must not drag in."""

import ast
import functools
import subprocess
import sys

import pytest
from sources import FILES, statements, tree
from sources import PACKAGE as ROOT

import zeus_ray

BASE = {"records", "errors", "quantity_format"}
MAY_IMPORT = {
    "errors": set(),
    "quantity_format": set(),
    "records": {"errors", "quantity_format"},
    "objective": BASE,
    "search": BASE | {"objective"},
    "gpus": BASE,
    "carbon": BASE | {"objective"},
    "reporting": BASE | {"search", "store"},
    "leases": BASE | {"gpus", "carbon"},
    "store": BASE | {"search"},
    "training": BASE | {"objective", "search", "gpus", "leases", "carbon", "store", "reporting"},
    "jobs": BASE | {"objective", "search", "gpus", "leases", "carbon", "store", "training", "reporting"},
    "actors": BASE | {"gpus", "leases", "carbon", "training"},
    "tune": BASE
    | {"objective", "search", "gpus", "leases", "carbon", "store", "training", "actors", "reporting"},
    "train": BASE | {"training", "tune"},
}
TOP = {"__init__", "cli", "demo"}
"""These use everything, when they are used."""
FOREIGN = {
    "ray": {"actors", "tune", "train", *TOP},
    "torch": {"train", *TOP},
    "lightning": {"train"},
    "transformers": {"train"},
    "pynvml": {"gpus/nvml.py"},
    "pydantic": {"records/serialization.py"},
    "typer": {"cli"},
    "pandas": {"carbon/csv_reader.py"},
    "httpx": {"carbon/http_client.py"},
    "fcntl": {"leases/file_lock_with_heartbeat.py"},
    "psutil": {"leases/process.py"},
}


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@functools.cache
def imports(path):
    """Every module a file imports, also inside functions; not what only type checkers see."""
    return list(imported(tree(path).body))


def imported(block):
    everything = list(statements(block))
    for_types = {
        id(inner)
        for node in everything
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in statements(node.body)
    }
    for node in everything:
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "zeus_ray":
            yield from (f"zeus_ray.{alias.name}" for alias in node.names if alias.name != "__version__")
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_a_room_imports_only_the_rooms_above_it():
    wrong = {}
    for path in FILES:
        here = room(path)
        ours = {name.split(".")[1] for name in imports(path) if name.startswith("zeus_ray.")}
        if here not in TOP and ours - {here} - MAY_IMPORT[here]:
            wrong[path.name] = ours - {here} - MAY_IMPORT[here]
    assert wrong == {}


def test_a_framework_comes_in_through_its_own_room():
    wrong = [
        (str(path.relative_to(ROOT)), name)
        for path in FILES
        for name in {name.split(".")[0] for name in imports(path)} & set(FOREIGN)
        if not {room(path), str(path.relative_to(ROOT))} & FOREIGN[name]
    ]
    assert wrong == []


@pytest.mark.slow
def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, zeus_ray, zeus_ray.cli.main, zeus_ray.search; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"ray", "torch", "pynvml", "matplotlib", "rich", "pandas", "httpx"} & set(loaded)


def test_every_public_name_exists_and_is_documented():
    for name in set(zeus_ray.__all__) - {
        "__version__",
        "ZeusSearcher",
        "EnergyScheduler",
        "Elastic",
        "metered",
        "resources",
        "TrialReporter",
        "verify",
    }:
        assert getattr(zeus_ray, name).__doc__, name
    with pytest.raises(AttributeError, match="ZeusSearcher"):
        _ = zeus_ray.Zearcher
