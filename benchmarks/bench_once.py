"""One search that ends: how many trials, what they cost, how good the answer is.

    python benchmarks/bench_once.py --traces ../shared/data/zeus-nsdi23 [--at-once 1 4]
    python benchmarks/bench_once.py --families

Cost, joules and time are in runs of the optimum; the answer is its mean cost over the optimum's. "in
all" is what a user pays: the search, and what the answer costs too much in the runs it is made for.
With several trials at once each begins as soon as the search asks for it, all on one clock.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Iterator
from itertools import count
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import traces
from families import SHAPES, workload
from recurrences import Pieces, Tried, Workload, drawn, trial

from zeus_ray.search import Search

ETA = 0.5
HORIZON_RUNS = 50
COLUMNS = ("trials", "cost", "J", "time", "answer", "worst", "in all")
Task = tuple[Workload, str, int, int]


def ending_search(work: Workload, seed: int, policy: str = "zeus-ray") -> Search:
    """A search that ends, whose answer is used ``HORIZON_RUNS`` times."""
    return Search(
        batch_sizes=sorted(work.points),
        default_batch_size=work.default_batch_size,
        target=work.target,
        max_epochs=work.max_epochs,
        eta=ETA,
        seed=seed,
        policy=policy,
        recurring=False,
        horizon_runs=HORIZON_RUNS,
    )


def once(task: Task) -> list[float]:
    """The figures of one search, in the order of ``COLUMNS``."""
    work, policy, at_once, seed = task
    search = ending_search(work, seed, policy)
    tried, took_s = together(work, search, at_once, np.random.default_rng(seed))
    best = search.best()
    limit_w = best.power_limit_w or work.limits_w[0]
    answer = work.mean_cost(best.batch_size, limit_w, ETA) / work.optimum(ETA)
    cost = sum(search.cost(one.used) for one in tried) / work.optimum(ETA)
    energy_j = sum(one.used.energy_j for one in tried)
    best_j, best_s = best_run(work)
    in_all = cost + HORIZON_RUNS * (answer - 1)
    return [float(len(tried)), cost, energy_j / best_j, took_s / best_s, answer, answer, in_all]


def together(
    work: Workload, search: Search, at_once: int, rng: np.random.Generator
) -> tuple[list[Tried], float]:
    """All tries of a search, and how long it took (s): whatever comes first on the clock is next."""
    running: list[tuple[float, int, float, Pieces]] = []
    tried: list[Tried] = []
    now_s, number = 0.0, count()
    while True:
        while len(running) < at_once and not search.finished:
            knobs = search.ask()
            if knobs is None:
                break
            pieces = trial(work, search, knobs, drawn(work, knobs.batch_size, rng))
            heapq.heappush(running, (now_s + next(pieces), next(number), now_s, pieces))
        if not running:
            return tried, now_s
        now_s, _number, began_s, pieces = heapq.heappop(running)
        try:
            heapq.heappush(running, (began_s + next(pieces), next(number), began_s, pieces))
        except StopIteration as end:
            tried.append(end.value)


def best_run(work: Workload) -> tuple[float, float]:
    """Mean joules and seconds of a run of the optimum."""
    knobs = ((b, w) for b in work.points for w in work.points[b])
    size, limit_w = min(knobs, key=lambda knob: work.mean_cost(*knob, ETA))
    power_w, epoch_s = work.points[size][limit_w]
    time_s = work.mean_epochs(size) * epoch_s
    return time_s * power_w, time_s


def invented(seeds: range) -> Iterator[tuple[str, list[Workload]]]:
    """Each shape of job, at noise of a tenth and eight batch sizes, and one case each of more and less."""
    for shape in SHAPES:
        for sizes, noise in ((8, 0.1), (8, 0.0), (8, 0.3), (3, 0.1), (30, 0.1)):
            works = [workload(shape, count=sizes, noise=noise, seed=s) for s in seeds]
            yield works[0].name, works


def recorded(folder: Path, seeds: range) -> Iterator[tuple[str, list[Workload]]]:
    """The recorded jobs, each as often as there are seeds."""
    for gpu in traces.gpus(folder):
        for work in traces.load(folder, gpu):
            yield f"{work.name}, {gpu}", [work for _ in seeds]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, help="recorded jobs, as for bench_regret.py")
    parser.add_argument("--families", action="store_true", help="invented jobs")
    parser.add_argument("--seeds", type=int, default=20, help="searches per row")
    parser.add_argument("--first-seed", type=int, default=0, help="tuning used 0 to 99; judge on others")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 4], help="trials at a time")
    parser.add_argument("--policies", nargs="+", default=["zeus-ray", "nsdi23"], help="who plays")
    parser.add_argument("--processes", type=int, default=2, help="processes that share the work")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    jobs = list(invented(seeds)) if options.families else []
    if options.traces and (options.traces / "summary_train.csv").exists():
        jobs += recorded(options.traces, seeds)
    if not jobs:
        print(f"skipped: no traces in {options.traces}")
        return 0
    print(f"{'job':<36} {'policy':<9}{'at once':>8}" + "".join(f"{name:>8}" for name in COLUMNS))
    with Pool(options.processes) as pool:
        for policy in options.policies:
            for at_once in options.at_once:
                show(jobs, policy, at_once, seeds, pool)
    return 0


def show(
    jobs: list[tuple[str, list[Workload]]],
    policy: str,
    at_once: int,
    seeds: range,
    pool: Pool,  # type: ignore[valid-type]
) -> None:
    """One row per job, and the mean over jobs."""
    rows = []
    for name, works in jobs:
        tasks = [(work, policy, at_once, seed) for work, seed in zip(works, seeds, strict=True)]
        figures = np.array(pool.map(once, tasks))  # type: ignore[attr-defined]
        row = figures.mean(axis=0)
        row[COLUMNS.index("worst")] = figures[:, COLUMNS.index("worst")].max()
        rows.append(row)
        line(name, policy, at_once, row)
    line("mean", policy, at_once, np.mean(rows, axis=0))


def line(name: str, policy: str, at_once: int, row: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    """One row of the table."""
    cells = "".join(
        f"{x:8.3f}" if c in ("answer", "worst") else f"{x:8.2f}" for c, x in zip(COLUMNS, row, strict=True)
    )
    print(f"{name:<36} {policy:<9}{at_once:>8}{cells}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
