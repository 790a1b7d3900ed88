"""What SECURITY.md promises about processes and files, looked at from outside while a limit is held."""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import deaths

from zeus_ray.leases import watchdog as guard

pytestmark = pytest.mark.processes
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
             "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")  # fmt: skip
"""It may read what is root's, such as a Python under /root, and change nothing."""


@pytest.fixture
def scene(fake_nvml, tmp_path):
    scene = deaths.Scene(fake_nvml, tmp_path)
    yield scene
    scene.close()


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_no_listener_no_pickle_and_files_of_the_user_alone(scene):
    driver = scene.start("train", deaths.WANTED_W)
    watching = guard.running(scene.state)
    for pid in (driver.pid, watching.pid):
        process = psutil.Process(pid)
        connections = getattr(process, "net_connections", None) or process.connections  # psutil < 6
        assert connections(kind="all") == []  # not even a Unix socket
        assert set(process.uids()) == {os.geteuid()}
    assert scene.state.stat().st_mode & 0o777 == 0o700
    for path in files(scene.state):
        assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (os.geteuid(), 0), path
        if path.suffix != ".lock":
            json.loads(path.read_text())
    assert scene.board.limit_w == deaths.WANTED_W
    scene.kill(driver)
    scene.seconds_until_back()


@pytest.fixture
def open_scene(fake_nvml):
    """A scene that every user can reach. Pytest's own folders are for one user alone."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root, and setpriv, to start a process as somebody else")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    library = folder / "lib"
    shutil.copytree(fake_nvml.folder, library)
    library.chmod(0o755)
    scene = deaths.Scene(fake_nvml, folder)
    scene.env |= {"LD_LIBRARY_PATH": str(library), "PYTHONDONTWRITEBYTECODE": "1"}
    (folder / f"{folder.name}.boards").chmod(0o666)
    yield scene
    scene.close()
    shutil.rmtree(folder)


def test_nothing_of_ours_has_more_rights_than_who_started_it(open_scene):
    open_scene.state.mkdir(mode=0o700)
    os.chown(open_scene.state, NOBODY, NOBODY)
    driver = open_scene.start("train", deaths.WANTED_W, before=AS_NOBODY)
    watching = guard.running(open_scene.state)
    for pid in (driver.pid, watching.pid):
        assert set(psutil.Process(pid).uids()) == {NOBODY}
    assert {path.stat().st_uid for path in files(open_scene.state)} == {NOBODY}
    open_scene.kill(driver)
    open_scene.seconds_until_back()  # by the guard, as nobody


@pytest.mark.parametrize(("mode", "says"), [(0o777, "not a folder of this user"), (0o700, "no journal")])
def test_a_folder_of_somebody_else_is_not_used(open_scene, mode, says):
    open_scene.state.mkdir()
    open_scene.state.chmod(mode)
    driver = open_scene.start("train", deaths.WANTED_W, before=AS_NOBODY)
    assert driver.first[1] == "False", driver.first
    assert says in " ".join(driver.first)
    assert (files(open_scene.state), open_scene.board.attempts) == ([], 0)
