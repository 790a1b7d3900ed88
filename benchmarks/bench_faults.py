"""Hundreds of faults: every kind of killed process, on real processes over the simulated NVML library.

    python benchmarks/bench_faults.py [--n 10] [--ray 3] [--long 0] [--kinds NAME …] [--seed 0] [--save FILE]

Prints a table: how often each kind was done, the seconds until the original limit was restored, and what
went wrong. Exit code 1 if anything did. ``--n``: how often each kind that needs no Ray; ``--ray``: each one
with a Ray of its own (5 to 40 s); ``--long``: each one of minutes. ``--save`` appends each fault to a file of
JSON lines, so that a long campaign can be done in parts, by ``--kinds`` and ``--first``; the table is always
that of the whole file.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def planned(times: int, with_ray: int, of_minutes: int, names: Sequence[str]) -> list[PlannedFault]:
    """Every kind in turn, or those with these ``names``."""
    sets = (
        (all_faults.PROCESS_KINDS, scenarios.Scenario, times),
        (ray_faults.KINDS, ray_faults.RayScenario, with_ray),
        (all_faults.LONG_KINDS, scenarios.Scenario, of_minutes),
    )
    one_by_one = [(kind, scenario) for kinds, scenario, n in sets for _ in range(n) for kind in kinds]
    return [
        (number, kind, scenario)
        for number, (kind, scenario) in enumerate(one_by_one)
        if not names or kind.__name__ in names
    ]


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
    parser.add_argument("--n", type=int, default=10, help="how often each kind without Ray")
    parser.add_argument("--ray", type=int, default=3, help="how often each kind with a Ray of its own")
    parser.add_argument("--long", type=int, default=0, help="how often each kind that takes minutes")
    parser.add_argument("--kinds", nargs="+", default=(), metavar="NAME", help="only these kinds")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which processes are killed")
    parser.add_argument("--save", type=Path, help="append each fault to this file, and show all of it")
    parser.add_argument("--first", type=int, default=0, help="begin with this one of the faults")
    parser.add_argument("--most", type=int, default=sys.maxsize, help="do this many of the faults now")
    options = parser.parse_args()
    plans = planned(options.n, options.ray, options.long, options.kinds)
    plans = plans[options.first :][: options.most]
    if not plans:
        known = (*all_faults.PROCESS_KINDS, *ray_faults.KINDS, *all_faults.LONG_KINDS)
        names = ", ".join(sorted(kind.__name__ for kind in known))
        parser.error(f"no fault to do: --kinds are {' '.join(options.kinds) or 'all'}; there are {names}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # the scenario ends its processes
    faults, began_s = [], time.monotonic()
    for kind, restored_s, wrong in campaign(plans, options.seed):
        faults.append((kind, restored_s, wrong))
        took_s, began_s = round(time.monotonic() - began_s, 1), time.monotonic()
        if options.save:
            fault = {"kind": kind, "restored_s": str(restored_s), "took_s": took_s, "wrong": wrong}
            with options.save.open("a") as file:
                print(json.dumps(fault), file=file)
    return 1 if print_table(saved(options.save) if options.save else faults) else 0


if __name__ == "__main__":
    sys.exit(main())
