"""The command line, as a person meets it."""

import json
import subprocess
import sys

import pytest

from zeus_ray.cli.main import main
from zeus_ray.leases.doctor import examine
from zeus_ray.records import PowerProfile
from zeus_ray.store.event_log import open_job_log
from zeus_ray.store.events import ProfileMeasured


@pytest.mark.parametrize("command", ["demo", "doctor", "restore", "recur", "report", "carbon"])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert len(capsys.readouterr().out) > 300


@pytest.mark.processes
def test_doctor_says_that_there_is_no_driver_and_what_to_do(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code = "import sys; from zeus_ray.cli.main import main; sys.exit(main(['doctor']))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "driver none" not in ran.stdout:
        pytest.skip("this machine has an NVIDIA driver")
    assert ran.returncode == 2
    assert "ZEUS_RAY_GPU" in ran.stdout


def test_doctor_on_a_healthy_node(make_node, capsys):
    make_node("V100,A100")
    assert main(["doctor", "--json"]) in (0, 1)
    (node,) = json.loads(capsys.readouterr().out).values()
    assert [board["max_w"] for board in node["gpus"]] == [300, 400]
    assert main(["doctor"]) in (0, 1)
    assert "A100" in capsys.readouterr().out


def test_doctor_without_rights_is_limited(make_node, capsys):
    make_node("V100", no_permission=1)
    assert main(["doctor"]) == 1
    assert "no" in capsys.readouterr().out


def test_doctor_says_what_a_limit_would_save_by_what_a_job_recorded(make_node, tmp_path, capsys):
    make_node("V100", no_permission=1)
    (board,) = examine().gpus
    points = ((board.max_w, 250.0, 10.0), (150.0, 140.0, 11.0))
    for gpu in (board.name, "another card"):
        profile = PowerProfile(batch_size=64, gpu=gpu, max_power_w=300.0, points=points)
        open_job_log(tmp_path, "nightly").append(ProfileMeasured(run_id="a", profile=profile))
    assert main(["doctor", "--history", str(tmp_path)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"nightly at batch size 64 on {board.name}: 150 W instead of" in said
    assert "38.4 % less energy and 10.0 % more time" in said
    assert "another card" not in said
    assert main(["doctor", "--history", str(tmp_path / "nothing")]) == 1
    assert "no job of that history" in capsys.readouterr().out


def test_restore_with_nothing_left_behind(make_node, capsys):
    make_node("V100")
    assert main(["restore"]) == 0
    assert "nothing was left behind" in capsys.readouterr().out


@pytest.mark.ray  # which the demo imports
def test_bad_input_is_one_line_and_exit_code_2(capsys, monkeypatch):
    monkeypatch.setenv("ZEUS_RAY_GPU", "magic")
    assert main(["demo"]) == 2
    assert "simulated" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:1", "local", "host:port", ":6379"])
@pytest.mark.parametrize("command", ["doctor", "restore"])
def test_an_address_that_is_no_cluster_is_said_at_once(command, address, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # it is not even asked
    assert main([command, "--address", address]) == 2
    said = capsys.readouterr().err
    assert f"--address {address!r}" in said
    assert "HOST:PORT as `ray start --head` printed it" in said
