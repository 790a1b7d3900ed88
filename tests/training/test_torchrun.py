"""Two processes under torchrun, real ones, on two GPUs of the simulated NVML."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes
pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from scenario import ORIGINAL_W, Scenario, wait_until  # noqa: E402 — after its folder is known

TRAINER = Path(__file__).with_name("torchrun_trainer.py")


@pytest.fixture
def scenario(fake_nvml, tmp_path):
    scenario = Scenario(fake_nvml, tmp_path)
    scenario.node.load(1, 0)
    scenario.node.load(1, 1)
    yield scenario
    scenario.close()


class Job:
    """torchrun with two processes, in a session of its own: their processes are found by what they write."""

    def __init__(self, scenario, *arguments, restarts=0, **env):
        self.folder = scenario.folder
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        self.errors = (self.folder / "stderr").open("w")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
                *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}"),
                *("--local-addr", "localhost", "--max-restarts", str(restarts)),
                *(TRAINER, scenario.folder, *map(str, arguments)),
            ],
            env={**scenario.env, "OMP_NUM_THREADS": "1", **env},
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            start_new_session=True,
        )

    def ranks(self):
        """What both ranks wrote at their end."""
        assert self.process.wait(60) == 0, (self.folder / "stderr").read_text()[-3000:]
        return [json.loads((self.folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]

    def pids(self):
        """The ranks' processes, once they have trained some steps."""
        files = [self.folder / f"trains-{rank}" for rank in (0, 1)]
        wait_until(lambda: all(f.exists() and f.read_text() for f in files), within_s=120)
        return [int(f.read_text()) for f in files]

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.errors.close()


@pytest.fixture
def job(scenario):
    jobs = []

    def start(*arguments, **env):
        jobs.append(Job(scenario, *arguments, **env))
        return jobs[-1]

    yield start
    for one in jobs:
        one.end()


def test_each_gpu_is_measured_once_and_both_have_the_same_limit_in_each_step(scenario, job):
    first, second = job(1000).ranks()
    assert [first["uuid"], second["uuid"]] == scenario.node.uuids
    assert first["limits"] == second["limits"]
    assert len(set(first["limits"])) >= 2
    report = first["report"]
    assert report["zeus/units"] == 1000
    one_j = report["zeus/time_s"] * sum(first["limits"]) / len(first["limits"])
    assert 1.5 < report["zeus/energy_j"] / one_j < 2.3  # two GPUs that draw nearly their limit
    assert scenario.node.limits_w == [ORIGINAL_W, ORIGINAL_W]


def test_a_stop_ends_both_after_the_same_step(job):
    first, second = job(10_000, "leaves").ranks()
    assert first["limits"] == second["limits"]
    assert 100 < len(first["limits"]) < 10_000
    assert first["stop"] == second["stop"] == "target reached"


def test_gpus_that_are_chosen_by_hand_are_used(scenario, job):
    """CUDA_VISIBLE_DEVICES lists them in another order."""
    first, second = job(60, CUDA_VISIBLE_DEVICES="1,0").ranks()
    assert [second["uuid"], first["uuid"]] == scenario.node.uuids


def test_a_gpu_that_each_rank_chooses_by_hand_has_the_same_limit(scenario, job):
    first, second = job(400, "by hand").ranks()
    assert [first["uuid"], second["uuid"]] == scenario.node.uuids
    assert first["limits"] == second["limits"]


def test_an_elastic_restart_trains_on_and_restores_the_limits(scenario, job):
    first, second = job(200, "restarts", restarts=1).ranks()
    assert first["limits"] == second["limits"]
    assert first["report"]["zeus/units"] == 200
    wait_until(lambda: scenario.node.limits_w == [ORIGINAL_W, ORIGINAL_W])


def test_a_requeued_job_goes_on_at_its_limit(job):
    before, _second = job(1200, "kept").ranks()
    after, _second = job(200, "kept").ranks()
    assert before["limits"][2] == max(before["limits"])  # a profile begins there
    assert after["limits"][2] < max(before["limits"])


def test_without_a_process_group_each_measures_its_own_and_holds_its_limit(scenario, job):
    first, second = job(60, "alone").ranks()
    assert set(first["limits"]) == set(second["limits"]) == {ORIGINAL_W}
    assert first["report"]["zeus/energy_j"] > 0
    assert "Initialise torch.distributed before the first step" in (scenario.folder / "stderr").read_text()


def test_a_session_in_rank_0_alone_goes_on_alone_at_its_limit(scenario, job):
    started = job(60, "one")
    assert started.process.wait(120) == 0, (scenario.folder / "stderr").read_text()[-3000:]
    found = json.loads((scenario.folder / "rank-0.json").read_text())
    assert set(found["limits"]) == {ORIGINAL_W}
    assert "only some of the 2 processes have opened a session" in (scenario.folder / "stderr").read_text()


@pytest.mark.parametrize("killed", ["rank 0", "rank 1", "all ranks", "launcher", "everything"])
def test_limits_are_back_after_a_kill(scenario, job, killed):
    started = job(100_000)
    pids = started.pids()
    wait_until(lambda: ORIGINAL_W not in scenario.node.limits_w)
    victims = {
        "rank 0": pids[:1],
        "rank 1": pids[1:],
        "all ranks": pids,
        "launcher": [started.process.pid],
        "everything": [started.process.pid, *pids],
    }[killed]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    if (
        killed == "launcher"
    ):  # its processes train on, as torchrun leaves them: the limit is theirs until they end
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
    wait_until(lambda: scenario.node.limits_w == [ORIGINAL_W, ORIGINAL_W], within_s=60)
