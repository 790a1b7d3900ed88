"""One search that ends: how many trials, what they cost, how good the answer is.

python benchmarks/bench_once.py --traces ../shared/data/zeus-nsdi23
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import traces
from recurrences import Ledger, Workload, attempt

from zeus_ray.decide import Search

ETA = 0.5


def once(work: Workload, policy: str, seed: int) -> tuple[float, float, float]:
    """Trials; their cost in runs of the optimum; mean cost of the answer over the optimum's."""
    search = Search(
        batch_sizes=sorted(work.points),
        default_batch_size=work.default_batch_size,
        target=work.target,
        max_epochs=work.max_epochs,
        eta=ETA,
        seed=seed,
        policy=policy,  # type: ignore[arg-type]
        recurring=False,
    )
    ledger, rng, spent = Ledger(), np.random.default_rng(seed), 0.0
    while not search.finished:
        _reached, used, _limit_w = attempt(work, search, rng, 0, ledger)
        spent += search.cost(used)
    best, optimum = search.best(), work.optimum(ETA)
    answer = work.mean_cost(best.batch_size, best.power_limit_w or work.limits_w[0], ETA)
    return float(len(ledger.trials)), spent / optimum, answer / optimum


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, required=True, help="as for bench_regret.py")
    parser.add_argument("--seeds", type=int, default=10, help="searches per row")
    options = parser.parse_args()
    if not (options.traces / "summary_train.csv").exists():
        print(f"skipped: no traces in {options.traces}")
        return 0
    heads = f"{'trials':>7} {'cost':>7} {'answer: median':>15} {'worst':>6}"
    print(f"{'workload':<14} {'gpu':<6} {'policy':<9} {heads}")
    for gpu in traces.gpus(options.traces):
        for work in traces.load(options.traces, gpu):
            for policy in ("zeus-ray", "nsdi23"):
                trials, cost, answer = np.array([once(work, policy, s) for s in range(options.seeds)]).T
                print(
                    f"{work.name:<14} {gpu:<6} {policy:<9} {trials.mean():7.1f} {cost.mean():7.1f}"
                    f" {np.median(answer):15.3f} {answer.max():6.3f}"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
