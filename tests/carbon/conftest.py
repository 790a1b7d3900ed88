import pytest
from grid_server import GridServer


@pytest.fixture(scope="session")
def grid_server():
    server = GridServer()
    yield server
    server.close()


@pytest.fixture
def grid(grid_server):
    """The server, healthy and not asked yet."""
    grid_server.reset()
    yield grid_server
    grid_server.may_answer.set()


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    """Use an own cache and no token of this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("ELECTRICITYMAPS_TOKEN", "WATTTIME_TOKEN", "WATTTIME_USER", "WATTTIME_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"
