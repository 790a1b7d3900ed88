"""``zeus-ray run`` around an unmodified command: real processes on the simulated NVML."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from zeus_ray.cli.main import main

pytestmark = pytest.mark.processes

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from scenario import ORIGINAL_W, Scenario, wait_until  # noqa: E402 — after its folder is known

TRAINER = Path(__file__).with_name("progress_trainer.py")
CLI = "import sys; from zeus_ray.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def scenario(fake_nvml, tmp_path, monkeypatch):
    monkeypatch.delenv("ZEUS_RAY_GPU")
    scenario = Scenario(fake_nvml, tmp_path)
    scenario.node.load(1, 0)
    scenario.node.load(1, 1)
    yield scenario
    scenario.close()


class Supervised:
    """A supervisor with its command; its output goes to files."""

    def __init__(self, scenario, *command, options=(), **env):
        self.folder = scenario.folder
        self.out, self.err = ((self.folder / name).open("w+") for name in ("out", "err"))
        options = [
            "--window",
            "0.4s",
            "--power-limits",
            "250,200,150",
            "--json",
            str(self.folder / "json"),
            *options,
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLI, "run", *options, "--", *map(str, command)],
            env={**scenario.env, **env},
            stdout=self.out,
            stderr=self.err,
        )

    def ends(self, code=0, within_s=60):
        assert self.process.wait(within_s) == code, self.said()
        return json.loads((self.folder / "json").read_text())

    def said(self):
        return (self.folder / "err").read_text()

    def wrote(self, text):
        wait_until(lambda: text in (self.folder / "out").read_text(), within_s=60)

    def close(self):
        for child in (
            psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else ()
        ):
            child.kill()
        self.process.kill()
        self.process.wait()
        self.out.close()
        self.err.close()


@pytest.fixture
def run(scenario):
    started = []

    def start(*arguments, **options):
        started.append(Supervised(scenario, sys.executable, TRAINER, *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.mark.parametrize("how", ["lines", "bar"])
def test_the_limit_is_chosen_by_the_lines_of_an_untouched_script(scenario, run, how):
    started = run(500, how, options=["--eta", "1", "--metric", "loss"])
    found = started.ends()
    assert found["chosen_limit_w"] == 150  # the same speed with less power
    times = {point["power_limit_w"]: point["time_per_unit_s"] for point in found["profile"]}
    assert times[150] == pytest.approx(times[250], rel=0.5)
    assert times[150] == pytest.approx(0.0105, rel=0.6)
    assert 400 < found["steps"] <= 500
    assert found["gpus"] == 2
    assert 300 < found["energy_j"] / found["time_s"] < 510  # two GPUs that draw nearly their limit
    assert scenario.node.limits_w == [ORIGINAL_W, ORIGINAL_W]
    said = started.said()
    assert "steps are read from lines such as" in said
    assert "limit chosen: 150 W of" in said
    if how == "lines":
        assert re.search(r"loss is read as 0\.3 from 'step 10: loss 0\.3000'", said)
        assert found["metric"] == pytest.approx(3 / 500, abs=1e-4)
    assert "saved" in (scenario.folder / "out").read_text()


def test_a_command_without_progress_is_measured_at_its_own_limit(scenario, run):
    started = run(100, "silent", options=["--metric", "loss"])
    found = started.ends()
    assert started.said().count("no progress in the whole output") == 1
    assert started.said().count("no 'loss' in the whole output") == 1
    assert found["chosen_limit_w"] is None
    assert found["energy_j"] > 100
    assert found["power_limit_w"] == ORIGINAL_W
    assert scenario.node.limits_w == [ORIGINAL_W, ORIGINAL_W]


def test_progress_in_other_words_is_read_by_an_expression(run):
    found = run(200, options=["--progress-regex", r"(\d+): loss"]).ends()
    assert found["steps"] > 100


def test_only_the_gpus_of_the_command_are_leased(scenario, run):
    started = run(400, options=["--gpus", "1", "--eta", "1"])
    wait_until(lambda: scenario.node.gpus[1].attempts > 0, within_s=60)
    found = started.ends()
    assert found["gpus"] == 1
    assert scenario.node.gpus[0].attempts == 0
    assert "prepares for 1" in (scenario.folder / "out").read_text()


def test_the_environment_says_which_gpus_the_command_sees(run):
    assert run(30, CUDA_VISIBLE_DEVICES="1").ends()["gpus"] == 1


def test_the_exit_code_is_the_commands(scenario, run):
    assert run(100, "fails").ends(9)["exit_code"] == 9
    assert scenario.node.limits_w == [ORIGINAL_W, ORIGINAL_W]


@pytest.mark.parametrize(
    ("how", "number", "code"),
    [("lines", signal.SIGTERM, 143), ("lines", signal.SIGINT, 130), ("usr1", signal.SIGUSR1, 5)],
)
def test_a_signal_goes_to_the_command_which_decides(scenario, run, how, number, code):
    started = run(100_000, how)
    started.wrote("step 20:")
    started.process.send_signal(number)
    if number == signal.SIGINT:
        code = 1 if started.process.wait(60) == 1 else code  # as Python ends at KeyboardInterrupt
    started.ends(code)
    assert scenario.node.limits_w == [ORIGINAL_W, ORIGINAL_W]


def test_a_command_may_go_on_after_an_interrupt(run):
    started = run(100_000, "deaf")
    started.wrote("step 20:")
    started.process.send_signal(signal.SIGINT)
    started.wrote("heard")
    started.process.send_signal(signal.SIGTERM)
    started.ends(143)


def test_killed_with_9_the_command_ends_and_the_limits_are_back(scenario, run):
    started = run(100_000, options=["--power-limits", "200,150"])
    wait_until(lambda: ORIGINAL_W not in scenario.node.limits_w, within_s=60)
    (child,) = [
        child
        for child in psutil.Process(started.process.pid).children()
        if "progress_trainer.py" in " ".join(child.cmdline())
    ]
    started.process.kill()
    started.process.wait()
    child.wait(10)
    wait_until(lambda: scenario.node.limits_w == [ORIGINAL_W, ORIGINAL_W])


def test_the_limits_are_back_when_the_command_is_killed(scenario, run):
    started = run(100_000)
    wait_until(lambda: ORIGINAL_W not in scenario.node.limits_w, within_s=60)
    (child,) = [
        child
        for child in psutil.Process(started.process.pid).children()
        if "progress_trainer.py" in " ".join(child.cmdline())
    ]
    child.kill()
    assert started.ends(137)["exit_code"] == 137
    assert scenario.node.limits_w == [ORIGINAL_W, ORIGINAL_W]


def test_processes_that_go_on_are_said(run):
    started = run(20, "leaves")
    started.ends()
    assert "still run" in started.said()


def test_a_gpu_that_fails_does_not_end_the_command(scenario, run):
    started = run(400)
    started.wrote("step 20:")
    for gpu in scenario.node.gpus:
        gpu.lost = 1
    started.process.wait(60)
    assert started.process.returncode == 0
    assert "saved" in (scenario.folder / "out").read_text()
    assert "not measured any more" in started.said()


def test_a_requeued_job_goes_on_at_its_limit(scenario, run):
    options = ["--eta", "1", "--job", "long", "--history", str(scenario.folder / "history")]
    assert run(1500, options=options).ends(within_s=120)["chosen_limit_w"] == 150
    found = run(300, options=options).ends()
    assert found["chosen_limit_w"] == 150
    assert found["profiling_lines"] < 100


def test_torchrun_is_supervised_from_outside(scenario):
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    started = Supervised(scenario, *launcher, TRAINER, 800, options=["--eta", "1"], OMP_NUM_THREADS="1")
    try:
        found = started.ends(within_s=120)
        assert found["chosen_limit_w"] == 150
        assert found["steps"] <= 800  # each step once, though two processes print it
        assert scenario.node.limits_w == [ORIGINAL_W, ORIGINAL_W]
    finally:
        started.close()


def test_no_progress_is_said_after_a_while_with_the_remedy(make_node, monkeypatch, capfd):
    monkeypatch.setattr("zeus_ray.jobs.command_supervisor.NO_PROGRESS_AFTER_S", 0.0)
    monkeypatch.delenv("ZEUS_RAY_GPU")
    make_node("V100")
    command = [sys.executable, str(TRAINER), "100", "silent"]
    assert main(["run", "--metric", "loss", "--every", "0.5s", "--", *command]) == 0
    err = capfd.readouterr().err
    assert err.count("--progress-regex") == 1
    assert err.count("limit 300 W") >= 2  # every half second


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--eta", "2"], "eta is 2"),
        (["--every", "soon"], "--every is 'soon'"),
        (["--gpus", "7"], "GPU '7'"),
        (["--metric-regex", "(a)"], "--metric"),
        (["--progress-regex", "a"], "groups"),
        (["--power-limits", "5000"], "5000 W"),
    ],
)
def test_bad_input_is_one_line_and_starts_nothing(scenario, run, options, words):
    started = run(10, options=options)
    assert started.process.wait(60) == 2
    assert words in started.said()
    assert (scenario.folder / "out").read_text() == ""


def test_one_of_several_processes_of_a_machine_is_refused(run):
    started = run(10, RANK="1", WORLD_SIZE="2", LOCAL_RANK="1", LOCAL_WORLD_SIZE="2")
    assert started.process.wait(60) == 2
    assert "around the launcher" in started.said()


def test_a_simulated_gpu_is_measured_under_full_load(run):
    found = run(30, ZEUS_RAY_GPU="simulated:V100").ends()
    assert found["energy_j"] > 10
    assert found["chosen_limit_w"] is None
