"""policy="nsdi23" against Zeus's own code, choice by choice, on random histories.

Runs in an environment of its own, because ``zeus`` and Ray do not import together everywhere:

    python -m venv .venv-peer
    .venv-peer/bin/pip install zeus==0.16.0 numpy pandas
    .venv-peer/bin/pip install --no-deps -e .
    .venv-peer/bin/python benchmarks/peer.py
"""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import Any

import numpy as np

from zeus_ray.records import Measurement, Outcome, Target
from zeus_ray.search import Search

ASKS = 40


def peer(seed: int, sizes: list[int], default: int, window: int) -> tuple[Any, Any]:
    """Zeus's optimizer and its job."""
    from zeus._legacy.job import Job
    from zeus._legacy.policy.optimizer import PruningGTSBatchSizeOptimizer

    job = Job("data", "network", "sgd", 0.9, 100, default)
    theirs = PruningGTSBatchSizeOptimizer(window_size=window, seed=seed, verbose=False)
    theirs.register_job(job, sizes)
    return theirs, job


def history(seed: int) -> tuple[list[int], list[int]]:
    """The batch sizes both choose when told the same: ours, theirs."""
    rng = np.random.default_rng((seed, 7))
    sizes = sorted(int(2**i) for i in rng.choice(np.arange(2, 14), rng.integers(1, 9), replace=False))
    default, window = int(rng.choice(sizes)), int(rng.choice([0, 3, 10]))
    mean = {size: float(rng.uniform(50, 150)) for size in sizes}
    fails = {size: size != default and rng.random() < 0.15 for size in sizes}
    theirs, job = peer(seed, sizes, default, window)
    ours = Search(
        batch_sizes=sizes,
        default_batch_size=default,
        target=Target("accuracy", 0.9),
        eta=0.0,
        max_power_w=1.0,  # cost is seconds
        seed=seed,
        policy="nsdi23",
        window=window or None,
    )
    mine, other = [], []
    for _ in range(ASKS):
        knobs = ours.ask()
        mine.append(knobs.batch_size)
        other.append(int(theirs.predict(job)))
        if mine[-1] != other[-1]:
            break
        time_s = mean[mine[-1]] * float(np.exp(rng.normal(0, 0.1)))
        reached = not fails[mine[-1]]
        used = Measurement(energy_j=0.0, time_s=time_s)
        ours.tell(Outcome(knobs=knobs, reached=reached, epochs=10, metric=0.9, measurement=used))
        theirs.observe(job, mine[-1], time_s, reached)
    return mine, other


def main() -> int:
    """Compare, and fail on the first difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=1000, help="how many random histories")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    choices = 0
    for seed in range(options.histories):
        mine, other = history(seed)
        if mine != other:
            print(f"history {seed} differs:\n  ours   {mine}\n  theirs {other}")
            return 1
        choices += len(mine)
    print(f"{options.histories} histories, {choices} choices, all the same")
    return 0


if __name__ == "__main__":
    sys.exit(main())
