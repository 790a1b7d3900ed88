"""A new training framework is one file and one line in the registry."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest
from runs import NO_GPU, reported

import zeus_ray as zeus
from zeus_ray.records import StopReason
from zeus_ray.training import frameworks
from zeus_ray.training.frameworks import FRAMEWORKS
from zeus_ray.training.plan_from_config_or_arguments import plan_from_config
from zeus_ray.training.session import current_context, open_session
from zeus_ray.training.training_run import TrainingRun
from zeus_ray.training.where_run_leases_and_reports import RunContext

THE_FILE = """
from zeus_ray.training.frameworks import Framework
from zeus_ray.training.where_run_leases_and_reports import RunContext

calls = []


class DummyFramework(Framework):
    def synchronize(self):
        calls.append("synchronize")

    def is_out_of_memory(self, error):
        return isinstance(error, MemoryError)

    def samples_per_epoch(self, loader, batch_size):
        return getattr(loader, "cardinality", None)

    def context(self):
        return RunContext(from_checkpoint=True)
"""


@pytest.fixture
def dummy(tmp_path, monkeypatch):
    """The framework is imported, and so is known from here on; returns its file as a module."""
    (tmp_path / "dummy_support.py").write_text(THE_FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(FRAMEWORKS, "dummyframework", "dummy_support:DummyFramework")  # the line
    monkeypatch.setitem(sys.modules, "dummyframework", types.ModuleType("dummyframework"))
    import dummy_support

    yield dummy_support
    del sys.modules["dummy_support"]
    frameworks._framework.cache_clear()


class TensorLoader(list):
    """A loader whose length only its framework knows."""

    cardinality = 70


def test_synchronisation_and_the_length_of_a_loader_come_from_it(dummy):
    run = TrainingRun(plan_from_config({"batch_size": 100}), NO_GPU)
    dummy.calls.clear()
    for _batch in run.steps(TensorLoader([None])):
        pass
    assert reported(run).epochs == 1
    assert dummy.calls == ["synchronize"]  # at the report


@pytest.mark.usefixtures("dummy")
def test_its_error_of_too_little_memory_is_a_result_of_the_run(monkeypatch):
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    plan = plan_from_config({"batch_size": 100}, target=zeus.Target("accuracy", 0.9))
    with open_session(plan, RunContext()) as run:
        raise MemoryError
    assert run.stop == StopReason.OUT_OF_MEMORY


@pytest.mark.usefixtures("dummy")
def test_it_can_say_where_a_run_takes_place():
    assert current_context().from_checkpoint


@pytest.mark.parametrize("path", FRAMEWORKS.values())
def test_every_line_of_the_registry_names_a_framework(path):
    module, _, name = path.partition(":")
    assert f"class {name}(Framework)" in Path(importlib.util.find_spec(module).origin).read_text()


def test_a_framework_that_is_not_imported_is_not_loaded(monkeypatch):
    monkeypatch.setitem(FRAMEWORKS, "not_imported", "no_such_module:NoSuchClass")
    frameworks.synchronize()
    assert not frameworks.is_out_of_memory(MemoryError())
