"""What SECURITY.md promises about processes and files, observed from outside while a limit is set."""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import scenario as scenarios
from scenario import AS_OTHER_USER, OTHER_UID

from zeus_ray.leases.watchdog_start_and_status import running_watchdog

pytestmark = pytest.mark.processes


@pytest.fixture
def scenario(fake_nvml, tmp_path):
    scenario = scenarios.Scenario(fake_nvml, tmp_path)
    yield scenario
    scenario.close()


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_no_socket_no_pickle_and_files_of_the_user_alone(scenario):
    driver = scenario.start("train", scenarios.WANTED_W)
    watchdog = running_watchdog(scenario.state)
    for pid in (driver.pid, watchdog.pid):
        process = psutil.Process(pid)
        connections = getattr(process, "net_connections", None) or process.connections  # psutil < 6
        assert connections(kind="all") == []  # not even a Unix socket
        assert set(process.uids()) == {os.geteuid()}
    assert scenario.state.stat().st_mode & 0o777 == 0o700
    for path in files(scenario.state):
        assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (os.geteuid(), 0), path
        if path.suffix != ".lock":
            json.loads(path.read_text())
    assert scenario.gpu.limit_w == scenarios.WANTED_W
    scenario.kill(driver)
    scenario.seconds_until_restored()


@pytest.fixture
def open_scenario(fake_nvml):
    """A scenario that every user can access; pytest's own folders are for one user."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root, and setpriv, to start a process as another user")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    library = folder / "lib"
    shutil.copytree(fake_nvml.folder, library)
    library.chmod(0o755)
    scenario = scenarios.Scenario(fake_nvml, folder)
    scenario.env |= {"LD_LIBRARY_PATH": str(library), "PYTHONDONTWRITEBYTECODE": "1"}
    (folder / f"{folder.name}.gpus").chmod(0o666)
    yield scenario
    scenario.close()
    shutil.rmtree(folder)


def test_no_process_has_more_rights_than_the_user_who_started_it(open_scenario):
    open_scenario.state.mkdir(mode=0o700)
    os.chown(open_scenario.state, OTHER_UID, OTHER_UID)
    driver = open_scenario.start("train", scenarios.WANTED_W, prefix=AS_OTHER_USER)
    watchdog = running_watchdog(open_scenario.state)
    for pid in (driver.pid, watchdog.pid):
        assert set(psutil.Process(pid).uids()) == {OTHER_UID}
    assert {path.stat().st_uid for path in files(open_scenario.state)} == {OTHER_UID}
    open_scenario.kill(driver)
    open_scenario.seconds_until_restored()  # by the watchdog, as the other user


@pytest.mark.parametrize(("mode", "message"), [(0o777, "not a folder of this user"), (0o700, "no journal")])
def test_a_folder_of_another_user_is_not_used(open_scenario, mode, message):
    open_scenario.state.mkdir()
    open_scenario.state.chmod(mode)
    driver = open_scenario.start("train", scenarios.WANTED_W, prefix=AS_OTHER_USER)
    assert driver.first[1] == "False", driver.first
    assert message in " ".join(driver.first)
    assert (files(open_scenario.state), open_scenario.gpu.attempts) == ([], 0)
