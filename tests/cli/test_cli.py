"""The command line: help, exit codes, ``doctor`` and ``restore``."""

import json
import subprocess
import sys

import pytest

from zeus_ray import __version__
from zeus_ray.cli.main import main
from zeus_ray.leases.doctor import examine
from zeus_ray.records import PowerProfile
from zeus_ray.store.event_log import open_job_log
from zeus_ray.store.events import ProfileMeasured

COMMANDS = ["demo", "doctor", "restore", "report", "carbon", "run", "job run", "job report"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_the_exit_codes(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert any(line.strip().startswith(f"zeus-ray {command} -") for line in text.splitlines())
    assert "Exit codes:" in text or command == "demo"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["job"], ["nonsense"]])
def test_without_a_command_the_usage_is_shown(arguments, capsys):
    code = main(arguments)
    assert code == 2 if "nonsense" in arguments else code in {0, 2}  # with none at all: 0 before click 8.2
    assert "Usage: zeus-ray" in "".join(capsys.readouterr())


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"zeus-ray {__version__}\n"


@pytest.mark.processes
def test_help_imports_nothing_heavy():
    code = (
        "import sys; from zeus_ray.cli.main import main; main(['job', 'run', '--help']); print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"ray", "torch", "pandas", "numpy", "pynvml", "matplotlib", "httpx"} & set(ran.stdout.split())


@pytest.mark.processes
def test_doctor_without_a_driver_tells_what_to_do(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code = "import sys; from zeus_ray.cli.main import main; sys.exit(main(['doctor']))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "driver none" not in ran.stdout:
        pytest.skip("this machine has an NVIDIA driver")
    assert ran.returncode == 2
    assert "ZEUS_RAY_GPU" in ran.stdout


@pytest.mark.slow
def test_doctor_on_a_node_whose_gpus_work(make_node, capsys):
    make_node("V100,A100")
    assert main(["doctor", "--json"]) in (0, 1)
    (node,) = json.loads(capsys.readouterr().out).values()
    assert [gpu["max_w"] for gpu in node["gpus"]] == [300, 400]
    assert main(["doctor"]) in (0, 1)
    assert "A100" in capsys.readouterr().out


def test_doctor_without_permission_is_limited(make_node, capsys):
    make_node("V100", no_permission=1)
    assert main(["doctor"]) == 1
    assert "no" in capsys.readouterr().out


def test_doctor_estimates_savings_from_the_profiles_of_a_job(make_node, tmp_path, capsys):
    make_node("V100", no_permission=1)
    (gpu,) = examine().gpus
    points = ((gpu.max_w, 250.0, 10.0), (150.0, 140.0, 11.0))
    for name in (gpu.name, "another card"):
        profile = PowerProfile(batch_size=64, gpu=name, max_power_w=300.0, points=points)
        open_job_log(tmp_path, "nightly").append(ProfileMeasured(run_id="a", profile=profile))
    assert main(["doctor", "--history", str(tmp_path)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert f"nightly at batch size 64 on {gpu.name}: 150 W instead of" in shown
    assert "38.4 % less energy and 10.0 % more time" in shown
    assert "another card" not in shown
    assert main(["doctor", "--history", str(tmp_path / "nothing")]) == 1
    assert "no job of that history" in capsys.readouterr().out


def test_restore_with_nothing_to_restore(make_node, capsys):
    make_node("V100")
    assert main(["restore"]) == 0
    assert "no limit was left behind" in capsys.readouterr().out


@pytest.mark.ray  # the demo imports it
def test_bad_input_is_one_line_and_exit_code_2(capsys, monkeypatch):
    pytest.importorskip("torch", reason="the demo asks for it first")
    monkeypatch.setenv("ZEUS_RAY_GPU", "magic")
    assert main(["demo"]) == 2
    assert "simulated" in capsys.readouterr().err


def test_the_demo_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["demo"]) == 2
    assert "pip install zeus-ray[demo]" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:1", "local", "host:port", ":6379"])
@pytest.mark.parametrize("command", ["doctor", "restore"])
def test_an_address_without_a_cluster_is_refused_before_ray_is_imported(
    command, address, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([command, "--address", address]) == 2
    error = capsys.readouterr().err
    assert f"--address {address!r}" in error
    assert "HOST:PORT as `ray start --head` printed it" in error
