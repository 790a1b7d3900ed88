"""What a search costs: cumulative regret on recorded training jobs, against the published policy.

    python benchmarks/bench_regret.py --traces ../shared/data/zeus-nsdi23

A recurrence runs until the target is reached, at most 20 tries; its cost is the cost of all tries.
Profiling is paid for. Regret after n: Σ(cost) / optimum − n, the optimum being the batch size and
power limit with the lowest mean cost over recorded paths. In ratios a regret below 0.05 counts as 0.05.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import traces
from baselines import Default, Grid, Random
from recurrences import Chooser, Ledger, Workload, recur

from zeus_ray.search import Search

AFTER = (10, 20, 50)
FLOOR = 0.05


def search(policy: str, exploration_budget: float | None = None) -> Callable[[Workload, float, int], Chooser]:
    """A maker of searches with ``policy``."""

    def make(work: Workload, eta: float, seed: int) -> Chooser:
        return Search(
            batch_sizes=sorted(work.points),
            default_batch_size=work.default_batch_size,
            power_limits_w=work.limits_w,
            max_power_w=work.limits_w[0],
            target=work.target,
            max_epochs=work.max_epochs,
            eta=eta,
            seed=seed,
            policy=policy,
            exploration_budget=exploration_budget,
        )

    return make


COLUMNS: dict[str, Callable[[Workload, float, int], Chooser]] = {
    "zeus-ray": search("zeus-ray"),
    "nsdi23": search("nsdi23"),
    "default": lambda work, _eta, _seed: Default(work),
    "grid": lambda work, eta, _seed: Grid(work, eta),
    "random": lambda work, _eta, seed: Random(work, seed),
}


def one(task: tuple[Workload, str, int, int, float]) -> Ledger:
    """One seed of one column."""
    work, column, seed, recurrences, eta = task
    return recur(work, COLUMNS[column](work, eta, seed), recurrences=recurrences, eta=eta, seed=seed)


def measure(
    works: list[Workload], columns: list[str], *, seeds: int, recurrences: int, eta: float, processes: int
) -> list[dict[str, Any]]:
    """One row per workload, GPU and column."""
    tasks = [(w, c, s, recurrences, eta) for w in works for c in columns for s in range(seeds)]
    with Pool(processes) as pool:
        ledgers = pool.map(one, tasks, chunksize=1)
    rows = []
    for start in range(0, len(tasks), seeds):
        work, column = tasks[start][:2]
        rows.append(summary(work, column, ledgers[start : start + seeds], recurrences))
    return rows


def summary(work: Workload, column: str, ledgers: list[Ledger], recurrences: int) -> dict[str, Any]:
    """Mean and standard error over seeds."""
    row: dict[str, Any] = {"workload": work.name, "gpu": work.gpu, "column": column}
    for after in (n for n in AFTER if n <= recurrences):
        regrets = np.array([ledger.regret(after) for ledger in ledgers])
        error = regrets.std(ddof=1) / math.sqrt(len(regrets)) if len(regrets) > 1 else math.nan
        row[f"regret_{after}"], row[f"error_{after}"] = float(regrets.mean()), float(error)
    row["last"] = float(np.mean([ledger.last() for ledger in ledgers]))
    return row


def ratios(rows: list[dict[str, Any]], column: str, after: int) -> dict[str, float]:
    """Regret over that of nsdi23, by workload and GPU."""
    key = f"regret_{after}"
    by = {(row["workload"], row["gpu"], row["column"]): max(FLOOR, row[key]) for row in rows if key in row}
    jobs = [(w, g) for w, g, c in by if c == column]
    return {f"{w} {g}": by[w, g, column] / by[w, g, "nsdi23"] for w, g in jobs if (w, g, "nsdi23") in by}


def geometric_mean(numbers: list[float]) -> float:
    """NaN where there is nothing to take it of."""
    return math.exp(sum(map(math.log, numbers)) / len(numbers)) if numbers else math.nan


def show(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Print the tables."""
    print(
        f"{'workload':<26} {'gpu':<8} {'column':<9}"
        + "".join(f"{f'after {n}':>16}" for n in AFTER)
        + f"{'last 5':>9}"
    )
    for row in rows:
        cells = [
            f"{row[f'regret_{n}']:8.2f} ±{row[f'error_{n}']:5.2f} " if f"regret_{n}" in row else " " * 16
            for n in AFTER
        ]
        print(
            f"{row['workload']:<26} {row['gpu']:<8} {row['column']:<9}"
            + "".join(cells)
            + f"{row['last']:9.3f}"
        )
    print("\nratio to nsdi23: geometric mean (worst)")
    for column in (c for c in columns if c != "nsdi23" and "nsdi23" in columns):
        cells = []
        for after in AFTER:
            ratio = list(ratios(rows, column, after).values())
            cells.append(f"{geometric_mean(ratio):8.3f} ({max(ratio, default=math.nan):.2f})")
        print(f"  {column:<9}" + "".join(f"{cell:>18}" for cell in cells))


def main() -> int:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--traces", type=Path, required=True, help="folder of summary_train.csv and summary_power_*.csv"
    )
    parser.add_argument("--gpus", nargs="+", help="kinds of GPU (default: all that the folder has)")
    parser.add_argument("--workloads", nargs="+", help="datasets (default: all that the folder has)")
    parser.add_argument(
        "--columns", nargs="+", default=list(COLUMNS), choices=list(COLUMNS), help="who plays"
    )
    parser.add_argument("--recurrences", type=int, default=50, help="how often the job recurs")
    parser.add_argument("--seeds", type=int, default=20, help="how often all is repeated")
    parser.add_argument("--eta", type=float, default=0.5, help="1: energy alone, 0: time alone")
    parser.add_argument("--processes", type=int, default=2, help="processes that share the seeds")
    parser.add_argument("--out", type=Path, help="write all rows and ratios here, as JSON")
    options = parser.parse_args()
    if not (options.traces / "summary_train.csv").exists():
        print(f"skipped: no traces in {options.traces}; see --help for the format")
        return 0
    works = [
        w for gpu in options.gpus or traces.gpus(options.traces) for w in traces.load(options.traces, gpu)
    ]
    works = [w for w in works if not options.workloads or w.name in options.workloads]
    rows = measure(
        works,
        options.columns,
        seeds=options.seeds,
        recurrences=options.recurrences,
        eta=options.eta,
        processes=options.processes,
    )
    show(rows, options.columns)
    if options.out:
        result = {
            "options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()},
            "rows": rows,
            "ratios": {str(n): ratios(rows, "zeus-ray", n) for n in AFTER},
        }
        options.out.write_text(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
