"""Does the interval of an answer hold nine times out of ten? How often the next training is within it.

    python benchmarks/bench_intervals.py --curves ../shared/data/learning-curves --half b
    python benchmarks/bench_intervals.py --traces ../shared/data/zeus-nsdi23

One search that ends, per job and seed. Then each recorded training of the batch size that it recommends, at
its power limit, is compared with the interval of ``best().cost``. A training that does not reach the target
is above. "width" is the upper end of the interval over its lower one (median). Trainings that the search has
seen itself count, too: a job has few recordings, and the search draws from the same ones.
"""

from __future__ import annotations

import argparse
from itertools import chain
from multiprocessing import Pool
from pathlib import Path

import curves
import numpy as np
import traces
from bench_once import ETA, ending_search, together
from recurrences import Workload

Task = tuple[Workload, int]


def interval(task: Task) -> list[float]:
    """Shares of trainings below, within and above the interval, and its width; empty without an answer."""
    work, seed = task
    search = ending_search(work, seed)
    together(work, search, 1, np.random.default_rng(seed))
    best = search.best()
    epoch = work.epoch_cost(best.batch_size, best.power_limit_w or work.limits_w[0], ETA)
    needed = np.array([path.reached_at for path in work.paths[best.batch_size]])
    costs = np.where(needed <= work.max_epochs, needed * epoch, np.inf)
    below, above = float((costs < best.cost.low).mean()), float((costs > best.cost.high).mean())
    return [below, 1 - below - above, above, best.cost.high / best.cost.low]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--curves", type=Path, help="recorded learning curves, as for bench_curves.py")
    parser.add_argument("--half", choices=("a", "b", "all"), default="all", help="which of them")
    parser.add_argument("--traces", type=Path, help="recorded jobs, as for bench_regret.py")
    parser.add_argument("--seeds", type=int, default=10, help="searches per job")
    parser.add_argument("--processes", type=int, default=2, help="processes that share the work")
    options = parser.parse_args()
    works = curves.load(options.curves, options.half) if options.curves else []
    if options.traces:
        works += chain(*(traces.load(options.traces, gpu) for gpu in traces.gpus(options.traces)))
    tasks = [(work, seed) for work in works for seed in range(options.seeds)]
    with Pool(options.processes) as pool:
        rows = np.array(pool.map(interval, tasks, chunksize=4)).reshape(len(works), options.seeds, 4)
    below, within, above, _width = rows.mean(axis=(0, 1))
    print(
        f"{len(works)} jobs, {options.seeds} searches each: below {below:.0%}, within {within:.0%}, "
        f"above {above:.0%}"
    )
    jobs = rows.mean(axis=1)[:, 1]
    print(
        f"jobs: least {jobs.min():.0%}, lowest quarter {np.quantile(jobs, 0.25):.0%}; "
        f"{(jobs >= 0.9).mean():.0%} of them within at least 90 % of the time; "
        f"width {np.median(rows[:, :, 3]):.2f}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
