"""Drivers that are processes of their own: two on one node, and one through Ray Client."""

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.processes]
pytest.importorskip("ray.tune")

DRIVER = Path(__file__).with_name("experiment_driver.py")


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.fixture
def node(tmp_path):
    """A Ray of its own, as ``ray start --block`` makes it; its address and its Ray Client's."""
    ports = [free_port() for _ in range(2)]
    env = {
        **os.environ,
        "ZEUS_RAY_GPU": "simulated:V100",
        "ZEUS_RAY_STATE_DIR": str(tmp_path / "state"),
        "XDG_STATE_HOME": str(tmp_path),
        "RAY_AUTH_MODE": "disabled",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=4"]
    options = [f"--port={ports[0]}", f"--ray-client-server-port={ports[1]}", "--include-dashboard=false"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    short = short_folder(tmp_path)
    head = subprocess.Popen([*command, *options, f"--temp-dir={short}"], env=env, **quiet)
    try:
        for port in ports:
            wait_until_listening(port, head)
        yield env, f"127.0.0.1:{ports[0]}", f"ray://127.0.0.1:{ports[1]}"
    finally:
        os.killpg(head.pid, signal.SIGKILL)  # its own children alone; ending by itself takes it a minute
        head.wait()
        shutil.rmtree(short, ignore_errors=True)


def short_folder(tmp_path):
    """Ray's sockets have paths of 107 characters at most."""
    folder = Path("/tmp") / f"zr-{tmp_path.name[-8:]}-{os.getpid()}"  # noqa: S108 — see above
    folder.mkdir(exist_ok=True)
    return folder


def wait_until_listening(port, process):
    while process.poll() is None:
        with socket.socket() as trying:
            trying.settimeout(1.0)
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise AssertionError(f"ray start has ended with {process.returncode}")


def start(node_env, address, storage, name, seed):
    command = [sys.executable, str(DRIVER), address, str(storage), name, str(seed)]
    return subprocess.Popen(
        command, env=node_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=DRIVER.parent
    )


def answer_of(driver):
    out, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, errors[-3000:]
    return json.loads(out.splitlines()[-1]), errors


def test_two_drivers_each_with_a_searcher_search_beside_each_other(node, tmp_path):
    env, address, _ = node
    drivers = [start(env, address, tmp_path / "shared", f"experiment-{n}", n) for n in range(2)]
    answers = [answer_of(driver)[0] for driver in drivers]
    for answer in answers:
        assert math.isfinite(answer["energy_j"])
        assert answer["recommended"] == answer["batch_size"]
        assert not answer["refused"]
        assert not answer["errors"]
    assert not set(answers[0]["trials"]) & set(answers[1]["trials"])
    logs = {path.parent.name for path in (tmp_path / "zeus-ray" / "searches").glob("*/*.json")}
    assert len(logs) == 2  # each search has an event log of its own
    for n, answer in enumerate(answers):
        assert len(list((tmp_path / "shared" / f"experiment-{n}").glob("*/result.json"))) == len(
            answer["trials"]
        )


def test_through_ray_client_the_answer_is_in_the_result(node, tmp_path):
    env, _, client = node
    answer, _ = answer_of(start(env, client, tmp_path / "storage", "client", 0))
    assert math.isfinite(answer["energy_j"])
    assert answer["recommended"] == answer["batch_size"]
    assert "zeus_ray.recommended(result)" in answer["refused"]
    assert not answer["errors"]


WATCHED = """
import sys
import ray
from ray import cloudpickle, tune
import zeus_ray as zeus

sys.path.insert(0, sys.argv[3])
import trainables
from connect_driver import connect

cloudpickle.register_pickle_by_value(trainables)
connect(sys.argv[1])
searcher = zeus.ZeusSearcher(target=zeus.Target("accuracy", 0.9), default_batch_size=64)
tune.run(
    trainables.with_session,
    config={"batch_size": tune.choice([32, 64])},
    search_alg=searcher,
    scheduler=zeus.EnergyScheduler(searcher),
    num_samples=2,
    resources_per_trial=zeus.resources(),
    storage_path=sys.argv[2],
    callbacks=[zeus.TrialReporter()],
    verbose=0,
)
ray.shutdown()
"""


def test_through_ray_client_a_trial_reporter_prints_lines(node, tmp_path):
    env, _, client = node
    command = [sys.executable, "-c", WATCHED, client, str(tmp_path / "storage"), str(DRIVER.parents[1])]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, cwd=DRIVER.parent, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    shown = done.stdout + done.stderr
    assert "SIMULATED" in shown
    assert "0 running, 2 ended" in shown
    assert "cheapest run" in shown
    assert "\x1b[?25l" not in shown
