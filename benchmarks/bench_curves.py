"""Regret on real learning curves: ours, the published policy, and the default for ever.

    python benchmarks/bench_curves.py --curves ../shared/data/learning-curves [--half a] [--once]

Constants were chosen on half a (jobs of even index within their group); half b reports. Each epoch's
metric is handed on as it was evaluated. Ratios: regret over that of ``nsdi23``, both floored at 0.25
run. "over": the most by which the total cost exceeded that of the default for ever, at any
recurrence, in mean runs of the default at the highest power limit (mean over seeds; worst seed in
brackets). "last": mean cost of the knobs of the last five runs over the optimum's.

``--once``: one search that ends; "in all" is what it cost and what fifty uses of its answer cost too
much.
"""

from __future__ import annotations

import argparse
import json
import sys
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import curves
import derived_curves
import numpy as np
from bench_once import once
from bench_regret import AFTER, COLUMNS, geometric_mean, search
from recurrences import Ledger, Workload, recur

FLOOR = 0.25
ETA = 0.5
PLAYERS = ("zeus-ray", "nsdi23", "default")
Task = tuple[Workload, str, int, float]


def one(task: Task) -> Ledger:
    """One seed of one player."""
    work, player, seed, eta = task
    return recur(work, COLUMNS[player](work, eta, seed), recurrences=max(AFTER), eta=eta, seed=seed)


def excess(work: Workload, ledger: Ledger, eta: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Total cost beyond the default for ever after each recurrence, in mean runs of the default."""
    run = work.mean_cost(work.default_batch_size, work.limits_w[0], eta)
    return np.cumsum(ledger.costs) / run - np.arange(1, len(ledger.costs) + 1)


def summary(work: Workload, player: str, ledgers: list[Ledger], eta: float) -> dict[str, Any]:
    """One row: a job on a card."""
    row: dict[str, Any] = {"job": work.name, "card": work.gpu, "player": player}
    for after in AFTER:
        row[f"regret_{after}"] = float(np.mean([ledger.regret(after) for ledger in ledgers]))
    over = np.array([excess(work, ledger, eta) for ledger in ledgers])
    row["over"], row["over_worst"] = float(over.mean(axis=0).max()), float(over.max())
    row["last"] = float(np.mean([ledger.last() for ledger in ledgers]))
    row["lasts"] = [ledger.last() for ledger in ledgers]
    row["first"] = float(np.mean([ledger.costs[0] / ledger.optima[0] for ledger in ledgers]))
    return row


def measure(
    works: list[Workload], players: list[str], seeds: int, eta: float, processes: int
) -> list[dict[str, Any]]:
    """One row per job, card and player."""
    tasks = [(work, player, seed, eta) for work in works for player in players for seed in range(seeds)]
    if processes > 1:
        with Pool(processes) as pool:
            ledgers = pool.map(one, tasks, chunksize=4)
    else:
        ledgers = [one(task) for task in tasks]
    return [
        summary(tasks[start][0], tasks[start][1], ledgers[start : start + seeds], eta)
        for start in range(0, len(tasks), seeds)
    ]


def show(rows: list[dict[str, Any]], *, each: bool) -> None:
    """Print one line per job and card, and the means."""
    by = {(row["job"], row["card"], row["player"]): row for row in rows}
    jobs = list(dict.fromkeys((row["job"], row["card"]) for row in rows))
    players = list(dict.fromkeys(row["player"] for row in rows))
    ours = [by[(*job, "zeus-ray")] for job in jobs]
    theirs = [by.get((*job, "nsdi23")) for job in jobs]
    ratio = {
        n: [
            max(FLOOR, a[f"regret_{n}"]) / max(FLOOR, b[f"regret_{n}"])
            for a, b in zip(ours, theirs, strict=True)
            if b
        ]
        for n in AFTER
    }
    if each:
        print(
            f"{'job':<20} {'card':<8}" + "".join(f"{f'after {n}: ' + '/'.join(players):>32}" for n in AFTER)
        )
        for i, job in enumerate(jobs):
            cells = ""
            for n in AFTER:
                cells += "".join(f"{by[(*job, p)][f'regret_{n}']:9.2f}" for p in players)
                cells += f"{ratio[n][i]:6.2f}" if ratio[n] else ""
            print(
                f"{job[0]:<20} {job[1]:<8}{cells}  over {ours[i]['over']:5.2f} ({ours[i]['over_worst']:5.2f})"
                f"  last {ours[i]['last']:.3f}"
            )
    for n in (n for n in AFTER if ratio[n]):
        worst = max(ratio[n])
        print(f"after {n}: geometric mean of ratios {geometric_mean(ratio[n]):.3f}, worst {worst:.2f}")
    for player in players:
        totals(player, [by[(*job, player)] for job in jobs])


def totals(player: str, rows: list[dict[str, Any]]) -> None:
    """Print what holds over all jobs."""
    last, over = np.array([row["last"] for row in rows]), np.array([row["over"] for row in rows])
    regret = (geometric_mean([max(FLOOR, row[f"regret_{n}"]) for row in rows]) for n in AFTER)
    print(
        f"{player:<9} regret (geometric mean) {', '.join(f'{mean:.2f}' for mean in regret)}; over: worst job "
        f"{over.max():.2f}, jobs above 1.25 {(over > 1.25).mean():.0%}, worst seed "
        f"{max(row['over_worst'] for row in rows):.2f}; last within 5 % {(last <= 1.05).mean():.0%}, "
        f"25 % {(last <= 1.25).mean():.0%}, worst {last.max():.2f}"
    )


def show_once(works: list[Workload], seeds: int, processes: int) -> None:
    """One search that ends."""
    heads = f"{'trials':>8}{'cost':>8}{'in all':>8}{'within 5 %':>12}{'worst':>8}"
    print(f"{'policy':<10}{heads}  in all over nsdi23's")
    found: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    with Pool(processes) as pool:
        for policy in ("nsdi23", "zeus-ray"):
            tasks = [(work, policy, 1, seed) for work in works for seed in range(seeds)]
            figures = np.array(pool.map(once, tasks, chunksize=4)).reshape(len(works), seeds, -1)
            found[policy] = figures
            mean = figures.mean(axis=1)
            answers = figures[:, :, 4]
            ratio = np.maximum(FLOOR, mean[:, 6]) / np.maximum(FLOOR, found["nsdi23"].mean(axis=1)[:, 6])
            means = "".join(f"{mean[:, i].mean():8.2f}" for i in (0, 1, 6))
            near = (answers.mean(axis=1) <= 1.05).mean()
            print(
                f"{policy:<10}{means}{(answers <= 1.05).mean():12.0%}{answers.max():8.2f}  "
                f"{geometric_mean(list(ratio)):.3f}, worst {ratio.max():.2f}; jobs within 5 % {near:.0%}"
            )


def main() -> int:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--curves", type=Path, required=True, help="folder of jobs.csv, learning_curves.csv, power_*.csv"
    )
    parser.add_argument("--half", choices=("a", "b", "all"), default="all", help="which jobs")
    parser.add_argument("--derived", choices=("retargeted", "crossing"), help="jobs made from these instead")
    parser.add_argument("--once", action="store_true", help="one search that ends instead of recurrences")
    parser.add_argument("--players", nargs="+", default=list(PLAYERS), help="columns")
    parser.add_argument("--seeds", type=int, default=10, help="how often all is repeated")
    parser.add_argument("--budget", type=float, help="exploration budget of zeus-ray, in runs of the default")
    parser.add_argument("--eta", type=float, default=ETA, help="1: energy alone, 0: time alone")
    parser.add_argument("--processes", type=int, default=2, help="processes that share the work")
    parser.add_argument("--brief", action="store_true", help="the means alone")
    parser.add_argument("--out", type=Path, help="write all rows here, as JSON")
    options = parser.parse_args()
    if not (options.curves / "jobs.csv").exists():
        print(f"skipped: no curves in {options.curves}")
        return 0
    works = curves.load(options.curves, options.half)
    if options.derived:
        works = getattr(derived_curves, options.derived)(works)
    if options.once:
        show_once(works, options.seeds, options.processes)
        return 0
    if options.budget is not None:
        COLUMNS["zeus-ray"] = search("zeus-ray", options.budget)
    rows = measure(works, options.players, options.seeds, options.eta, options.processes)
    show(rows, each=not options.brief)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
