"""``zeus-ray measure`` around an unmodified command: real processes on the simulated NVML."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zeus_ray.cli.main import main
from zeus_ray.jobs.measured_command import CommandEnergy

pytestmark = pytest.mark.processes

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from scenario import ORIGINAL_W, Scenario  # noqa: E402 — after its folder is known

CLI = "import sys; from zeus_ray.cli.main import main; sys.exit(main(sys.argv[1:]))"
SLEEPS = "import time; print('began', flush=True); time.sleep(1.2)"
WAITS = "import signal; print('began', flush=True); signal.pause()"


@pytest.fixture
def scenario(fake_nvml, tmp_path, monkeypatch):
    monkeypatch.delenv("ZEUS_RAY_GPU", raising=False)
    scenario = Scenario(fake_nvml, tmp_path)
    yield scenario
    scenario.close()


@pytest.fixture
def measure(scenario):
    started = []

    def start(*command, options=(), **env):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                CLI,
                "measure",
                "--json",
                scenario.folder / "json",
                *options,
                "--",
                *command,
            ],
            env={**scenario.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def result(scenario):
    return json.loads((scenario.folder / "json").read_text())


def test_the_energy_of_all_gpus_and_nothing_else(scenario, measure):
    scenario.node.load(1, 0)
    process = measure(sys.executable, "-c", SLEEPS, options=["--every", "0.3s"])
    out, err = process.communicate(timeout=60)
    found = result(scenario)
    assert (process.returncode, out) == (0, "began\n")
    assert found["gpus"] == 2
    assert found["time_s"] > 1.2
    assert found["energy_j"] == pytest.approx(found["average_power_w"] * found["time_s"])
    assert 250 < found["average_power_w"] < 400  # one loaded, one idle
    assert err.count(" W\n") >= 3  # rows of the table
    assert scenario.node.limits_w == [ORIGINAL_W, ORIGINAL_W]


def test_the_gpus_that_it_sees_at_a_price(scenario, measure, tmp_path):
    rows = "\n".join(f"2026-01-01T0{hour}:00Z,100" for hour in range(5))
    (tmp_path / "signal.csv").write_text(f"time,g\n{rows}\n")
    signal_name = f"csv:{tmp_path / 'signal.csv'}"
    process = measure(sys.executable, "-c", SLEEPS, options=["--gpus", "1", "--signal", signal_name])
    _out, err = process.communicate(timeout=60)
    found = result(scenario)
    assert (process.returncode, found["gpus"]) == (0, 1), err
    assert found["carbon_g"] == pytest.approx(found["energy_j"] / 3.6e6 * 100, rel=1e-3)
    assert "g CO2eq by csv:" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_goes_to_the_command_and_what_it_used_is_told(scenario, measure, number):
    process = measure(sys.executable, "-c", WAITS)
    assert process.stdout.readline() == "began\n"
    process.send_signal(number)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number if number == signal.SIGTERM else process.returncode != 0
    assert result(scenario)["exit_code"] == process.returncode
    assert "on 2 GPUs" in err


def test_the_exit_code_is_the_commands(scenario, measure):
    assert measure(sys.executable, "-c", "raise SystemExit(7)").wait(60) == 7
    assert result(scenario)["exit_code"] == 7


def test_bad_input_is_said_before_anything_runs(capfd):
    assert main(["measure"]) == 2
    assert "zeus-ray measure -- python train.py" in capfd.readouterr().err
    assert main(["measure", "--every", "soon", "--", "true"]) == 2
    assert "--every is 'soon'" in capfd.readouterr().err
    assert main(["measure", "--", "no-such-program"]) == 2
    assert "no-such-program" in capfd.readouterr().err


def test_a_simulated_gpu_says_so(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    file = tmp_path / "zeus_emissions.csv"
    assert main(["measure", "--emissions", str(file), "--", sys.executable, "-c", "print(1)"]) == 0
    assert ",true" in file.read_text()  # zeus_simulated
    assert "SIMULATED" in capfd.readouterr().err


def test_without_a_gpu_time_is_told(monkeypatch, capfd):
    monkeypatch.setenv("ZEUS_RAY_GPU", "nvml")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["measure", "--", "true"]) == 0
    assert "no GPU was measured" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("cpu_j", "dram_j", "says"),
    [
        (math.nan, math.nan, "CPUs is not measured"),
        (3.0, math.nan, "CPUs took 3.00 J, whoever"),
        (3.0, 2.0, "memory 2.00 J"),
    ],
)
def test_the_cpus_are_told_apart_or_said_to_be_unmeasured(cpu_j, dram_j, says):
    used = CommandEnergy(
        command=("true",),
        exit_code=0,
        gpus=0,
        gpu="",
        measured_by="none",
        simulated=False,
        energy_j=math.nan,
        energy_j_err=math.nan,
        time_s=1.0,
        average_power_w=math.nan,
        cpu_energy_j=cpu_j,
        dram_energy_j=dram_j,
        carbon_g=math.nan,
        price=math.nan,
        signal="",
    )
    assert says in " ".join(used.sentences())
