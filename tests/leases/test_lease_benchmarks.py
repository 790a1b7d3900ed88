"""The benchmark for other people's hardware never writes to it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_meter.py"


@pytest.mark.processes
def test_the_metering_benchmark_writes_nothing():
    done = subprocess.run(
        [sys.executable, str(BENCH), "--pretend", "--seconds", "0.3", "--pairs", "1"],
        env={**os.environ, "ZEUS_RAY_POWER_CONTROL": "auto"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "energy by counter" in done.stdout
    assert done.stdout.endswith("writes to the GPU, tried or done: 0\n")
