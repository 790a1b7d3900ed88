"""Fixtures of every room: simulated GPUs behind the real NVML binding, and a state folder for each test."""

import gc
import itertools
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads cost more than they save on small matrices

import examples  # noqa: F401 — the profiles
from fake_nvml.library import Library

hypothesis.settings.load_profile("quick")
NUMBERS = itertools.count()
MODULE_MARKS = re.compile(r"^pytestmark = (?:\[\n(?: .*\n)*|.*)", re.MULTILINE)


def pytest_addoption(parser):
    parser.addoption("--traces", metavar="DIR", help="folder of recorded traces (summary_power_{gpu}.csv)")


def pytest_configure():
    """Processes that outlive one test share no lock with other runs of the tests on this machine."""
    os.environ["ZEUS_RAY_LOCK_DIR"] = tempfile.mkdtemp(prefix="zeus-ray-locks-")


def pytest_unconfigure():
    shutil.rmtree(os.environ.pop("ZEUS_RAY_LOCK_DIR", ""), ignore_errors=True)


@pytest.fixture
def tmp_path(tmp_path_factory):
    """As pytest's own, which lists the folders of all earlier tests to find a name that is free."""
    folder = tmp_path_factory.getbasetemp() / f"{next(NUMBERS)}"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def state_dir(tmp_path_factory, monkeypatch):
    """A state folder for this test alone. It is not created: most tests write no journal."""
    number = next(NUMBERS)
    folder, locks = (tmp_path_factory.getbasetemp() / f"{what}-{number}" for what in ("state", "locks"))
    locks.mkdir()
    monkeypatch.setenv("ZEUS_RAY_STATE_DIR", str(folder))
    monkeypatch.setenv("ZEUS_RAY_LOCK_DIR", str(locks))
    monkeypatch.delenv("ZEUS_RAY_POWER_CONTROL", raising=False)
    monkeypatch.delenv("ZEUS_RAY_GPU", raising=False)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _no_waiting():
    """Do not wait for the disk, as no test cuts the power, nor between two attempts to set a limit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _file: None)
        patch.setattr("zeus_ray.leases.write_limit_and_read_back.SET_LIMIT_PAUSE_S", 0.0)
        yield


@pytest.fixture(scope="session")
def fake_nvml(tmp_path_factory):
    """The C library, built once. ``fake_nvml.node(folder, cards="V100,A100")`` makes GPUs."""
    return Library.build(tmp_path_factory.mktemp("fake-nvml"))


@pytest.fixture
def make_node(fake_nvml, tmp_path, monkeypatch):
    """Make a node's GPUs and put this process on it."""

    def make(cards="V100", **knobs):
        node = fake_nvml.node(tmp_path, cards=cards, **knobs)
        for name, value in node.env.items():
            monkeypatch.setenv(name, value)
        return node

    return make


def pytest_collection_finish():
    """What was collected stays to the end: the garbage collector need not look through it each time."""
    gc.freeze()


def pytest_ignore_collect(collection_path, config):
    """Import no file all of whose tests are left out: Ray, torch and matplotlib take seconds to import."""
    if collection_path.suffix != ".py":
        return None
    marks = set(re.findall(r"mark\.(\w+)", "".join(MODULE_MARKS.findall(collection_path.read_text()))))
    unwanted = any(f"not {mark}" in config.option.markexpr for mark in marks)
    return True if unwanted else None


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()
