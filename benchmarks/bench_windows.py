"""Error of the energy of a window, against the true energy of the tests' C library, in real time.

    python benchmarks/bench_windows.py [--n 40] [--seed 0]

The counter is updated every 100 ms and the GPU is fully loaded; for the last row its load goes on and off.
"Naive": the counter read at both ends. "Beyond bound": windows with an error above the stated bound.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fake_nvml.library import Library

from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess

LENGTHS_S = ((0.05, 0.1), (0.1, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 3.0))


def window(
    node: Any, gpu: NvmlGpu, manager: LeaseManager, lease_id: str, seconds: float, *, jumpy: bool
) -> list[float]:
    """[error, stated bound, error of a naive reading], each as a share of the true energy."""
    begin, naive_j, true_j = manager.read(lease_id), gpu.energy_j(), node.true_energy_j()
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        if jumpy:
            node.load(random.choice((0.0, 0.5, 1.0)))
        time.sleep(min(left_s, random.uniform(0.05, 0.5) if jumpy else left_s))
    end, naive_j, true_j = manager.read(lease_id), gpu.energy_j() - naive_j, node.true_energy_j() - true_j
    error_j = abs(end.energy_j - begin.energy_j - true_j)
    return [
        error_j / true_j,
        (begin.energy_j_err + end.energy_j_err) / true_j,
        abs(naive_j - true_j) / true_j,
    ]


def print_row(name: str, windows: list[list[float]]) -> None:
    error, bound, naive = (sorted(column) for column in zip(*windows, strict=True))
    beyond = sum(error > bound for error, bound, _ in windows)
    half, p95 = len(windows) // 2, int(0.95 * len(windows))
    print(
        f"| {name} | {len(windows)} | {naive[half]:.2%} / {naive[p95]:.2%} | "
        f"{error[half]:.2%} / {error[p95]:.2%} / {error[-1]:.2%} | {bound[half]:.2%} | {beyond} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=40, help="windows of each length")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    folder = Path(tempfile.mkdtemp())
    node = Library.build(folder).node(folder, cards="V100", refresh_ms=100)
    os.environ.update(node.env)
    gpu = NvmlGpu(node.uuids[0])
    manager = LeaseManager(gpu, control="off", state_dir=folder / "state")
    lease_id = manager.acquire(HolderProcess.current("bench")).lease_id
    print(
        "| window (s) | n | naive: median / p95 | ours: median / p95 / worst | stated bound | beyond bound |"
    )
    print("|---|---|---|---|---|---|")
    node.load(1.0)
    time.sleep(3)  # the phase of the counter is known
    for low_s, high_s in LENGTHS_S:
        windows = [
            window(node, gpu, manager, lease_id, random.uniform(low_s, high_s), jumpy=False)
            for _ in range(options.n)
        ]
        print_row(f"{low_s:g} to {high_s:g}", windows)
    windows = [
        window(node, gpu, manager, lease_id, random.uniform(2, 3), jumpy=True) for _ in range(options.n)
    ]
    print_row("2 to 3, load going on and off", windows)
    manager.close()


if __name__ == "__main__":
    main()
