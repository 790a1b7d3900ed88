"""Metering on a real NVIDIA GPU, without ever setting a limit: is it accurate, and what does it cost?

    ZEUS_RAY_POWER_CONTROL=off python benchmarks/bench_meter.py [--seconds 20] [--pairs 5]

The load is a matrix product: on the GPU where torch sees one, else on the CPU (then only the latencies and
the slowdown are meaningful). Compares the energy counter with the integral of sampled power, and the speed
of the load with and without metering, in turn. ``--pretend`` runs it over the tests' C library instead
of a GPU, to test the benchmark itself.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from zeus_ray.errors import NoDevice
from zeus_ray.gpus import discovery
from zeus_ray.leases.lease_and_gpu_status import Lease
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess

TESTS = Path(__file__).resolve().parents[1] / "tests"
FASTER_S = 0.05
"""Step of the power integral: finer than in a run, to compare the counter with."""


def make_load() -> tuple[Callable[[], Any], str]:
    """One unit of work, finished when the call returns, and where it runs."""
    try:
        import torch
    except ImportError:
        torch = None
    if torch is not None and torch.cuda.is_available():
        a = torch.randn(4096, 4096, device="cuda", dtype=torch.float16)

        def multiply() -> None:
            for _ in range(20):
                a @ a
            torch.cuda.synchronize()

        return multiply, torch.cuda.get_device_name()
    a_cpu = np.random.default_rng(0).random((256, 256))
    return lambda: a_cpu @ a_cpu, "CPU: the GPU is idle"


def latency_ms(call: Callable[[], Any], times: int = 200) -> tuple[float, float]:
    """Median and 99th percentile of a call."""
    durations_ms = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        durations_ms.append((time.perf_counter() - start) * 1e3)
    return statistics.median(durations_ms), sorted(durations_ms)[int(0.99 * times)]


@contextmanager
def metered(uuid: str) -> Iterator[tuple[LeaseManager, Lease]]:
    manager = LeaseManager(discovery.open_gpu("nvml", uuid), sample_every_s=FASTER_S)
    lease = manager.acquire(HolderProcess.current("bench"))
    try:
        if lease.may_set:
            raise SystemExit("this benchmark could set a limit, and must not")
        yield manager, lease
    finally:
        manager.close()


def rate(work: Callable[[], Any], seconds: float) -> float:
    """Units of work per second."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        work()
        count += 1
    return count / (time.perf_counter() - start)


def compare_energy(uuid: str, work: Callable[[], Any], seconds: float) -> None:
    with metered(uuid) as (manager, lease):
        rate(work, min(2.0, seconds))  # warm, and the phase of the counter is known
        begin = manager.read(lease.lease_id)
        rate(work, seconds)
        end = manager.read(lease.lease_id)
        points = np.array(manager.power_trace(lease.lease_id))
    during = points[(points[:, 0] >= begin.time_s) & (points[:, 0] <= end.time_s)]
    integral_j = float(np.trapezoid(during[:, 1], during[:, 0])) / float(np.ptp(during[:, 0]))
    counter_j = (end.energy_j - begin.energy_j) / (end.time_s - begin.time_s)
    bound = (begin.energy_j_err + end.energy_j_err) / (end.energy_j - begin.energy_j)
    print(f"| energy by {lease.measured_by} (stated bound) | {counter_j:.2f} W (± {bound:.2%}) |")
    print(f"| energy by integral of sampled power | {integral_j:.2f} W ({integral_j / counter_j - 1:+.2%}) |")


def compare_speed(uuid: str, work: Callable[[], Any], seconds: float, pairs: int) -> None:
    slower = []
    for _ in range(pairs):
        without = rate(work, seconds)
        with metered(uuid):
            slower.append(without / rate(work, seconds) - 1)
    print(f"| load slower when metered, median of {pairs} pairs | {statistics.median(slower):+.3%} |")
    print(f"| spread of the pairs | {min(slower):+.3%} to {max(slower):+.3%} |")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--pairs", type=int, default=5, help="with and without metering")
    parser.add_argument("--pretend", action="store_true", help="over the tests' C library")
    options = parser.parse_args()
    os.environ[discovery.CONTROL_VARIABLE] = "off"  # before any GPU is opened, whatever was set
    node = pretend() if options.pretend else None
    try:
        gpu = discovery.open_gpus("nvml")[0]
    except NoDevice as error:
        print(f"not run on hardware: {error}")
        return 1
    from zeus_ray.gpus.nvml import NvmlSource

    work, where = make_load()
    today = dt.datetime.now(tz=dt.timezone.utc).date()
    print(f"{gpu.name}, driver {NvmlSource().driver_version()}, {today}; load on {where}\n")
    print("| what | result |\n|---|---|")
    for name in ("energy_j", "power_w", "enforced_limit_w"):
        median_ms, p99_ms = latency_ms(getattr(gpu, name))
        print(f"| {name}: median, p99 | {median_ms:.3f} ms, {p99_ms:.3f} ms |")
    compare_energy(gpu.uuid, work, options.seconds)
    compare_speed(gpu.uuid, work, options.seconds, options.pairs)
    if node is not None:
        print(f"\nwrites to the GPU, tried or done: {node.attempts}")
    return 0


def pretend() -> Any:
    """A loaded V100 whose counter is updated every 100 ms, in this process."""
    sys.path.insert(0, str(TESTS))
    from fake_nvml.library import Library

    folder = Path(tempfile.mkdtemp())
    node = Library.build(folder).node(folder, cards="V100", refresh_ms=100)
    os.environ.update(node.env)
    node.load(1.0)
    print("not run on hardware: over the tests' C library")
    return node


if __name__ == "__main__":
    sys.exit(main())
