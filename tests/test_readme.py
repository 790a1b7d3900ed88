"""The README: its code runs, and the folders, commands and result keys that it names exist."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_every_folder_in_the_table_exists():
    named = re.findall(r"^\| `([\w/]+/)` \|", README, re.MULTILINE)
    assert len(named) >= 8
    assert [folder for folder in named if not (ROOT / folder).is_dir()] == []


def test_every_make_target_exists():
    targets = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    assert targets == {"demo", "test"}
    assert all(f"\n{target}:" in (ROOT / "Makefile").read_text() for target in targets)


def test_every_result_key_exists():
    from zeus_ray.records import TrialReport

    named = set(re.findall(r"`(zeus/\w+)`", README))
    assert named <= set(TrialReport().to_result())


def test_every_command_and_option_exists(capsys, monkeypatch):
    from zeus_ray.cli.main import main

    monkeypatch.setenv("COLUMNS", "200")
    shell = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
    lines = re.findall(r"^zeus-ray (.*)$", shell, re.MULTILINE) + re.findall(r"`zeus-ray ([^`]*)`", README)
    commands = [re.fullmatch(r"((?:job )?\w+)(.*)", line).groups() for line in lines]
    assert {name for name, _ in commands} >= {"job run", "job report", "carbon", "doctor", "restore"}
    for name, rest in commands:
        assert main([*name.split(), "--help"]) == 0, name
        options = set(re.findall(r"--[a-z][\w-]+", rest.partition(" -- ")[0]))
        assert options - set(re.findall(r"--[a-z][\w-]+", capsys.readouterr().out)) == set(), name


GUIDE = (ROOT / "docs" / "guides" / "one_long_run.md").read_text()


def test_every_argument_and_key_of_the_guide_exists():
    from zeus_ray.records import TrialReport
    from zeus_ray.training.session import session

    rows = re.findall(r"^\| `([^|]*)` \|", GUIDE, re.MULTILINE)
    arguments = {name for row in rows for name in re.findall(r"\b(\w+)=", row)} - {"mode"}
    assert len(arguments) >= 9
    assert arguments <= set(inspect.signature(session).parameters)
    assert set(re.findall(r"`(zeus/\w+)`", GUIDE)) <= set(TrialReport().to_result())


PREAMBLE = """
import ray, torch

def build(batch_size, lr):
    data = torch.utils.data.TensorDataset(torch.rand(512, 4), torch.rand(512, 1))
    return {"lr": lr, "steps": 0}, torch.utils.data.DataLoader(data, batch_size=batch_size)

def step(model, x, y):
    assert len(x) == len(y)
    model["steps"] += 1

def evaluate(model):
    return min(1.0, model["steps"] / 100)

model, loader = build(64, 0.1)
ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
"""
CHECKS = """
assert searcher.best().batch_size in (8, 16, 32, 64, 128, 256)
assert row["zeus/energy_j"] > 0
assert len(job.summary().trained) == 1
"""


def run_python(tmp_path, *command):
    """Run Python with an empty home folder and a simulated GPU."""
    home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    quiet = {"RAY_AIR_NEW_OUTPUT": "0", "ZEUS_RAY_GPU": "simulated:V100"}
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **home, **quiet},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.ray
def test_the_snippets_run(tmp_path):
    """All of them in one script, in order; only the model is a stand-in."""
    pytest.importorskip("torch")
    script = tmp_path / "readme.py"
    script.write_text("\n".join([PREAMBLE, *SNIPPETS, CHECKS]))
    done = run_python(tmp_path, script)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.mark.ray
def test_the_example_of_ray_train_runs(tmp_path):
    pytest.importorskip("torch")
    done = run_python(tmp_path, "-m", "zeus_ray.train.example_ddp", "--trials", "1")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "Best(batch_size=64" in done.stdout
