"""How long a recurring job waits for its event log: to append an outcome, and to rebuild its search.

    python benchmarks/bench_history.py [--runs 10 100 1000]

One job on local disk, without a GPU; the learning curve is arithmetic. "ask" is all that a run waits for
at its start: list the folder, read every file, replay it, decide, append.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path

import zeus_ray as zeus
from zeus_ray.records import PowerProfile, TrialReport, to_json

SIZES = (16, 32, 64, 128, 256, 512)
LIMITS_W = (250.0, 200.0, 150.0, 100.0)
EPOCHS = 40


def job(folder: Path) -> zeus.RecurringJob:
    """The job as a new process would open it."""
    target = zeus.Target("accuracy", 0.9)
    return zeus.RecurringJob(folder, "nightly", batch_sizes=SIZES, default_batch_size=64, target=target)


def row(epoch: int, size: int) -> dict[str, object]:
    """A report as a run on a GPU would give it."""
    epoch_s = 8 + 200 / size
    points = tuple((w, 0.9 * w, epoch_s * (1 + 12 / (w - 60))) for w in LIMITS_W)
    profile = PowerProfile(batch_size=size, gpu="V100", max_power_w=250.0, points=points)
    report = TrialReport(
        epochs=epoch,
        energy_j=150 * epoch_s * epoch,
        time_s=epoch_s * epoch,
        gpu="V100",
        measured_by="counter",
        profile=to_json(profile),
    )
    slow = 3 + abs(math.log2(size / 32))
    return {"accuracy": 1 - math.exp(-epoch / slow), **report.to_result()}


def train(one: zeus.RecurringJob) -> float:
    """One run. Returns how long telling its end took (s)."""
    plan = one.ask("V100")
    for epoch in range(1, EPOCHS):
        if one.observe(plan.knobs.run_id, row(epoch, plan.knobs.batch_size)):
            break
    began_s = time.perf_counter()
    one.tell(plan.knobs.run_id)
    return time.perf_counter() - began_s


def main() -> int:
    """Print the times at each size of the event log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 100])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for runs in options.runs:
            one = job(folder)
            tell_s = [train(one) for _ in range(runs - len(one.summary().runs))]
            fresh = job(folder)
            began_s = time.perf_counter()
            fresh.withdraw(fresh.ask("V100").knobs.run_id, "a measurement of the time to ask")
            ask_s = time.perf_counter() - began_s
            files = list((folder / "nightly").glob("*.json"))
            size_kb = sum(path.stat().st_size for path in files) / 1e3
            print(
                f"{runs:>5} runs: {len(files)} files, {size_kb:.0f} kB; "
                f"tell {1e3 * statistics.median(tell_s):.1f} ms; ask in a new process {1e3 * ask_s:.0f} ms"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
