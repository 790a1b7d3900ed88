"""Recurring jobs run on simulated GPUs here."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _on_simulated_gpus(state_dir, monkeypatch):  # noqa: ARG001 — which unsets the variable first
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")


@pytest.fixture
def history(tmp_path):
    return tmp_path / "history"
