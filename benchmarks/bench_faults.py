"""Faults by the hundred: every kind of death on real processes, over the pretended NVML library.

    python benchmarks/bench_faults.py [--n 200] [--ray 20] [--seed 0]

Prints a table: how often each kind was done, the seconds until the limit found was back, and what went
wrong. Exit code 1 if anything did. ``--ray``: how many of them with a Ray of their own (13 s each).
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "faults")]

import deaths  # noqa: E402 — from the tests, which are no package
import ray_deaths  # noqa: E402 — likewise
from fake_nvml.boards import Library  # noqa: E402 — likewise


def strike(kind: Callable[[Any], float], scene: Any) -> tuple[float, str]:
    """Seconds until the limit was back (inf: never), and what went wrong ("" if nothing)."""
    try:
        seconds = kind(scene)
    except Exception:  # noqa: BLE001 — a campaign goes on, and tells at the end
        return float("inf"), traceback.format_exc(limit=-2)
    finally:
        scene.close()
    return seconds, "" if scene.board.limit_w == deaths.FOUND_W else f"left at {scene.board.limit_w:g} W"


def campaign(
    kinds: list[Callable[[Any], float]], make: Callable[..., Any], count: int
) -> dict[str, list[Any]]:
    """Every kind in turn, each on a scene of its own."""
    results: dict[str, list[Any]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        library = Library.build(Path(folder))
        for i in range(count):
            kind = kinds[i % len(kinds)]
            home = Path(folder) / f"node-{i}"
            home.mkdir()
            results[kind.__name__].append(strike(kind, make(library, home)))
    return results


def print_table(results: dict[str, list[Any]]) -> int:
    """The table; returns how many went wrong."""
    print("| kind of death | n | back within (s): median | worst | wrong |")
    print("|---|---|---|---|---|")
    every: list[Any] = []
    for name, rows in [*results.items(), ("all", every)]:
        times = [seconds for seconds, _ in rows]
        wrong = sum(bool(why) for _, why in rows)
        label = name.replace("_", " ")
        print(f"| {label} | {len(rows)} | {statistics.median(times):.2f} | {max(times):.2f} | {wrong} |")
        every.extend(rows)
    for name, rows in results.items():
        for _, why in rows:
            if why:
                print(f"\n{name}:\n{why}")
    return sum(bool(why) for rows in results.values() for _, why in rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=200, help="faults in all")
    parser.add_argument("--ray", type=int, default=24, help="how many of them with a Ray of their own")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which processes are killed")
    options = parser.parse_args()
    random.seed(options.seed)
    results = campaign(list(deaths.KINDS), deaths.Scene, options.n - options.ray)
    results.update(campaign(list(ray_deaths.KINDS), ray_deaths.RayScene, options.ray))
    return 1 if print_table(results) else 0


if __name__ == "__main__":
    sys.exit(main())
