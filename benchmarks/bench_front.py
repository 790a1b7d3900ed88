"""Does eta trade energy for time? Where the answers lie against the recorded Pareto front.

    python benchmarks/bench_front.py --traces ../shared/data/zeus-nsdi23

For each eta a search of its own, and the answer that one search at eta = 0.5 gives for that eta
(``best(eta)``, no further run). Distance: the least factor by which both energy and time of an
answer would have to shrink to reach the front, less 1; 0 is on the front.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import traces
from bench_regret import COLUMNS
from recurrences import Workload, recur

from zeus_ray.search import Search

ETAS = (0.0, 0.25, 0.5, 0.75, 1.0)
Point = tuple[float, float]
"""(energy_j, time_s) to the target, means over recorded runs."""


def point(work: Workload, batch_size: int, limit_w: float) -> Point:
    """What knobs take."""
    power_w, epoch_s = work.points[batch_size][limit_w]
    epochs = work.mean_epochs(batch_size)
    return epochs * power_w * epoch_s, epochs * epoch_s


def front(work: Workload) -> list[Point]:
    """The points that no other beats in both."""
    points = [point(work, b, w) for b in work.points for w in work.points[b]]
    return [p for p in points if not any(q[0] < p[0] and q[1] < p[1] for q in points)]


def distance(answer: Point, of: list[Point]) -> float:
    """0 on the front; 0.1: a tenth too much in energy or time, whichever is nearer."""
    return min(max(answer[0] / energy_j, answer[1] / time_s) for energy_j, time_s in of) - 1


def measure(work: Workload, seeds: int, recurrences: int) -> None:
    """Print one line per eta."""
    edge = front(work)
    fastest = min(time_s for _energy_j, time_s in edge)
    least = min(energy_j for energy_j, _time_s in edge)
    at_half: list[Search] = []
    for seed in range(seeds):
        search = COLUMNS["zeus-ray"](work, 0.5, seed)
        recur(work, search, recurrences=recurrences, eta=0.5, seed=seed)
        at_half.append(search)  # type: ignore[arg-type]
    for eta in ETAS:
        own, answered = [], []
        for seed in range(seeds):
            search = COLUMNS["zeus-ray"](work, eta, seed)
            ledger = recur(work, search, recurrences=recurrences, eta=eta, seed=seed)
            own.append(point(work, ledger.trials[-1].batch_size, ledger.trials[-1].limit_w))
            best = at_half[seed].best(eta=eta)
            answered.append(point(work, best.batch_size, best.power_limit_w or work.limits_w[0]))
        energy_j, time_s = np.mean(own, axis=0)
        far = np.mean([distance(p, edge) for p in own]), np.mean([distance(p, edge) for p in answered])
        print(
            f"{work.name:<14} {work.gpu:<8} {eta:4.2f} {energy_j / least:14.3f} {time_s / fastest:12.3f}"
            f" {far[0]:12.3f} {far[1]:18.3f}"
        )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, required=True, help="as for bench_regret.py")
    parser.add_argument("--seeds", type=int, default=5, help="how often all is repeated")
    parser.add_argument("--recurrences", type=int, default=30, help="how often the job recurs")
    options = parser.parse_args()
    if not (options.traces / "summary_train.csv").exists():
        print(f"skipped: no traces in {options.traces}")
        return 0
    heads = f"{'energy/least':>14} {'time/least':>12} {'to front':>12} {'best(eta) to front':>18}"
    print(f"{'workload':<14} {'gpu':<8} {'eta':>4} {heads}")
    for gpu in traces.gpus(options.traces):
        for work in traces.load(options.traces, gpu):
            measure(work, options.seeds, options.recurrences)
    return 0


if __name__ == "__main__":
    sys.exit(main())
