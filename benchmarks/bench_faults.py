"""Hundreds of faults: every kind of killed process, on real processes over the simulated NVML library.

    python benchmarks/bench_faults.py [--n 700] [--ray 44] [--seed 0] [--save FILE [--first 0] [--most 50]]

Prints a table: how often each kind was done, the seconds until the original limit was restored, and what
went wrong. Exit code 1 if anything did. ``--ray``: how many of them with a Ray of their own (5 to 40 s each).
``--save`` appends each fault to a file of JSON lines; with ``--first`` and ``--most`` a long campaign is
done in parts; the table is always that of the whole file.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "faults")]

import all_faults  # noqa: E402 — from the tests, which are no package
import ray_faults  # noqa: E402 — likewise
import scenario as scenarios  # noqa: E402 — likewise
from fake_nvml.library import Library  # noqa: E402 — likewise

Fault = tuple[str, float, str]
"""Kind, seconds until the original limit was restored (inf: never), what went wrong ("" if nothing)."""
PlannedFault = tuple[int, Callable[[Any], float], Callable[..., Any]]
"""Number of the fault, its kind, and the class of its scenario."""


def planned(count: int, with_ray: int) -> list[PlannedFault]:
    """Every kind in turn."""
    sets = (
        (all_faults.PROCESS_KINDS, scenarios.Scenario, count - with_ray),
        (ray_faults.KINDS, ray_faults.RayScenario, with_ray),
    )
    one_by_one = [(kinds[i % len(kinds)], scenario) for kinds, scenario, times in sets for i in range(times)]
    return [(number, kind, scenario) for number, (kind, scenario) in enumerate(one_by_one)]


def strike(kind: Callable[[Any], float], scenario: Any) -> Fault:
    """One fault on one scenario."""
    try:
        seconds = kind(scenario)
    except Exception:  # noqa: BLE001 — a campaign continues, and prints it at the end
        return kind.__name__, float("inf"), traceback.format_exc(limit=-2)
    finally:
        scenario.close()
    wrong = "" if scenario.gpu.limit_w == scenario.expected_w else f"left at {scenario.gpu.limit_w:g} W"
    return kind.__name__, seconds, wrong


def campaign(plans: Iterable[PlannedFault], seed: int) -> Iterator[Fault]:
    """Each fault on a scenario of its own."""
    with tempfile.TemporaryDirectory() as folder:
        library = Library.build(Path(folder))
        for number, kind, make in plans:
            random.seed(f"{seed} {number}")  # the moment of a kill does not depend on earlier faults
            home = Path(folder) / f"node-{number}"
            home.mkdir()
            yield strike(kind, make(library, home))


def print_table(faults: Iterable[Fault]) -> int:
    """The table; returns how many went wrong."""
    rows: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        rows[fault[0]].append(fault)
    rows["all"] = [fault for kind in rows.values() for fault in kind]
    print("| kind of fault | n | restored within (s): median | worst | wrong |")
    print("|---|---|---|---|---|")
    for name, kind in rows.items():
        times = [seconds for _, seconds, _ in kind]
        wrong = sum(bool(why) for _, _, why in kind)
        label = name.replace("_", " ")
        print(f"| {label} | {len(kind)} | {statistics.median(times):.2f} | {max(times):.2f} | {wrong} |")
    for name, _, why in rows["all"]:
        if why:
            print(f"\n{name}:\n{why}")
    return sum(bool(why) for _, _, why in rows["all"])


def saved(file: Path) -> list[Fault]:
    """The faults of a file, of all parts of a campaign."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [(fault["kind"], float(fault["restored_s"]), fault["wrong"]) for fault in map(json.loads, lines)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=700, help="faults in all")
    parser.add_argument("--ray", type=int, default=44, help="how many of them with a Ray of their own")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which processes are killed")
    parser.add_argument("--save", type=Path, help="append each fault to this file, and show all of it")
    parser.add_argument("--first", type=int, default=0, help="begin with this one of the n")
    parser.add_argument("--most", type=int, default=sys.maxsize, help="do this many of the n now")
    options = parser.parse_args()
    plans = planned(options.n, options.ray)[options.first :][: options.most]
    faults = []
    for kind, restored_s, wrong in campaign(plans, options.seed):
        faults.append((kind, restored_s, wrong))
        if options.save:
            with options.save.open("a") as file:
                print(json.dumps({"kind": kind, "restored_s": str(restored_s), "wrong": wrong}), file=file)
    return 1 if print_table(saved(options.save) if options.save else faults) else 0


if __name__ == "__main__":
    sys.exit(main())
