"""One small local Ray for the tests of this folder, on simulated boards."""

import os

import pytest


@pytest.fixture(scope="session")
def ray_local(tmp_path_factory):
    import ray
    import trainables
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(trainables)  # workers cannot import the tests
    home = tmp_path_factory.mktemp("home")
    settings = {
        "ZEUS_RAY_GPU": "simulated:V100",
        "ZEUS_RAY_STATE_DIR": str(home / "state"),
        "XDG_STATE_HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    ray.init("local", num_cpus=4, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield ray
    ray.shutdown()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(autouse=True)
def _on_simulated_boards(state_dir, tmp_path, monkeypatch):  # noqa: ARG001 — which unsets the variable first
    """The driver of these tests asks for simulation too; its histories stay with the test."""
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
