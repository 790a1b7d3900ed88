"""The README is true: its code runs, its commands and folders exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_every_folder_in_the_map_is_there():
    named = re.findall(r"^\| `([\w/]+/)` \|", README, re.MULTILINE)
    assert len(named) >= 8
    assert [folder for folder in named if not (ROOT / folder).is_dir()] == []


def test_every_make_target_is_there():
    targets = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    assert targets == {"demo", "test"}
    assert all(f"\n{target}:" in (ROOT / "Makefile").read_text() for target in targets)


def test_every_result_key_is_one():
    from zeus_ray.records import TrialReport

    named = set(re.findall(r"`(zeus/\w+)`", README))
    assert named <= set(TrialReport().to_result())


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


def ran(tmp_path, *command):
    """Run Python in a home of its own, on a simulated board."""
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
    """One after the other, as a reader would paste them; only the model is made up."""
    script = tmp_path / "readme.py"
    script.write_text("\n".join([PREAMBLE, *SNIPPETS, CHECKS]))
    done = ran(tmp_path, script)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.mark.ray
def test_the_example_of_ray_train_runs(tmp_path):
    done = ran(tmp_path, "-m", "zeus_ray.train.example_ddp", "--trials", "1")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "Best(batch_size=64" in done.stdout
