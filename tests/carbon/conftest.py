import pytest
from grid_server import GridServer


@pytest.fixture
def grid():
    server = GridServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    """Use an own cache and no token of this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("ELECTRICITYMAPS_TOKEN", "WATTTIME_TOKEN", "WATTTIME_USER", "WATTTIME_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"
