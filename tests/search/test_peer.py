"""The published policy chooses as Zeus's own code does; needs the environment that `make peer` builds."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-peer" / "bin" / "python"


@pytest.mark.peer
@pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-peer: run `make peer`")
def test_nsdi23_chooses_as_zeus_does():
    ran = subprocess.run(
        [PYTHON, ROOT / "benchmarks" / "peer.py"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
