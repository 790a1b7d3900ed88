"""What a search in Ray Tune spends, against other searchers: real ``tune.run``, replayed GPUs.

    python benchmarks/bench_tune.py --traces ../shared/data/zeus-nsdi23 --out tune.json [--seeds 0 1 2]
    python benchmarks/bench_tune.py --curves ../shared/data/learning-curves --jobs JOB/CARD --out tune.json

At most 30 trials, four at a time, over (batch size, power limit); all metered by zeus-ray. Searches
that ``--out`` has already are not run again, so that a long run may be cut into pieces; ``--show``
only prints. All trials are on one clock (``rivals/clock.py``). Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import curves
import numpy as np
import traces
from recurrences import Workload
from rivals.clock import Clock
from rivals.columns import AT_ONCE, COLUMNS, ETA, TRIALS
from rivals.training import SAMPLES, recorded, train

from zeus_ray.gpus.replayed_gpu import REPLAY_COLUMNS

Row = dict[str, Any]
CELLS = ("found_j", "found", "energy_j", "cost", "answer")


def search(work: Workload, column: str, seed: int) -> Row:
    """One search by one column, in units of a run of the optimum."""
    import ray
    from ray import tune
    from rivals.tally import Tally

    clock = ray.remote(num_cpus=0)(Clock).remote(AT_ONCE)
    setup, tally = COLUMNS[column](work, seed), Tally(work, clock)
    workers_write = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # even after the end
    with workers_write as folder, contextlib.redirect_stdout(io.StringIO()):
        tune.run(
            tune.with_parameters(train, work=recorded(work), clock=clock),
            **setup,
            num_samples=TRIALS,
            max_concurrent_trials=AT_ONCE,
            reuse_actors=True,
            resources_per_trial={"cpu": 1},
            callbacks=[tally],
            storage_path=folder,
            verbose=0,
            raise_on_failed_trial=True,
        )
    energy_j, cost = tally.spent()
    answer = tally.cheapest()
    if column == "zeus-ray":
        best = setup["search_alg"].best()
        answer = tally.quality(best.batch_size, best.power_limit_w)
    unit, unit_j = work.optimum(ETA), optimum_j(work)
    return {
        "workload": work.name,
        "gpu": work.gpu,
        "column": column,
        "seed": seed,
        "trials": tally.trials,
        "found_j": tally.found[0] / unit_j,
        "found": tally.found[1] / unit,
        "energy_j": energy_j / unit_j,
        "cost": cost / unit,
        "answer": answer,
    }


def optimum_j(work: Workload) -> float:
    """Mean joules of a run of the optimum."""
    knobs = ((b, w) for b in work.points for w in work.points[b])
    size, limit_w = min(knobs, key=lambda knob: work.mean_cost(*knob, ETA))
    power_w, epoch_s = work.points[size][limit_w]
    return work.mean_epochs(size) * power_w * epoch_s


def show(rows: list[Row]) -> None:
    """Mean ± standard error over seeds; searches that never found anything near are counted apart."""
    head = f"{'workload':<13}{'gpu':<6}{'column':<18}{'seeds':>6}{'trials':>8}"
    print(
        head + "".join(f"{name:>17}" for name in ("J until found", "cost until found", "J", "cost", "answer"))
    )
    for group in dict.fromkeys((r["workload"], r["gpu"], r["column"]) for r in rows):
        mine = [r for r in rows if (r["workload"], r["gpu"], r["column"]) == group]
        missed = sum(1 for r in mine if np.isnan(r["found"]))
        cells = [spread([r[name] for r in mine if not np.isnan(r[name])]) for name in CELLS]
        trials = np.mean([r["trials"] for r in mine])
        line = f"{group[0]:<13}{group[1]:<6}{group[2]:<18}{len(mine):>6}{trials:8.1f}"
        print(line + "".join(cells) + (f"  never found: {missed}" if missed else ""))


def spread(values: list[float]) -> str:
    """Mean ± standard error."""
    if not values:
        return f"{'-':>17}"
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{np.mean(values):10.2f} ±{error:5.2f}"


@contextlib.contextmanager
def ray_replaying(work: Workload) -> Iterator[None]:
    """Ray on this machine alone, four trials at a time, on GPUs that replay ``work``."""
    import ray
    import recurrences
    import rivals.clock
    import rivals.training
    from ray import cloudpickle

    for module in (recurrences, rivals.clock, rivals.training):
        cloudpickle.register_pickle_by_value(module)  # workers cannot import the benchmarks
    with tempfile.TemporaryDirectory() as home:
        write_trace(work, Path(home))
        os.environ |= {
            "ZEUS_RAY_GPU": f"replay:{home}?gpu={work.gpu}&samples={SAMPLES}",
            "XDG_STATE_HOME": home,
            "ZEUS_RAY_STATE_DIR": str(Path(home) / "state"),
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_AIR_NEW_OUTPUT": "0",
            "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # nobody reads a thousand small files
        }
        ray.init(
            "local", num_cpus=AT_ONCE, include_dashboard=False, logging_level="ERROR", log_to_driver=False
        )
        try:
            yield
        finally:
            ray.shutdown()


def write_trace(work: Workload, folder: Path) -> None:
    """The power records of one job, as replayed GPUs read them."""
    with (folder / f"summary_power_{work.gpu}.csv").open("w", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(REPLAY_COLUMNS)
        for size, points in work.points.items():
            for limit_w, (power_w, epoch_s) in points.items():
                rows.writerow((work.name, "recorded", size, "recorded", limit_w, epoch_s, power_w))


def loaded(options: argparse.Namespace, name: str, gpu: str) -> Workload:
    """A job of the folder that was given."""
    works = curves.load(options.curves) if options.curves else traces.load(options.traces, gpu)
    return next(work for work in works if (work.name, work.gpu) == (name, gpu))


def main() -> int:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--traces", type=Path, help="as for bench_regret.py")
    source.add_argument("--curves", type=Path, help="as for bench_curves.py")
    parser.add_argument("--jobs", nargs="+", default=["cifar100/v100"], help="workload/gpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)), help="which seeds")
    parser.add_argument(
        "--columns", nargs="+", default=list(COLUMNS), choices=list(COLUMNS), help="who plays"
    )
    parser.add_argument("--out", type=Path, required=True, help="results so far, as JSON lines; appended to")
    parser.add_argument("--show", action="store_true", help="run nothing")
    options = parser.parse_args()
    records = options.traces / "summary_train.csv" if options.traces else options.curves / "jobs.csv"
    if not records.exists():
        print(f"skipped: no {records}")
        return 0
    known = (
        [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    )
    if not options.show:
        known += run(options, known)
    show(known)
    return 0


def run(options: argparse.Namespace, known: list[Row]) -> list[Row]:
    """The searches that are not known yet, each written down at once."""
    done, rows = {(r["workload"], r["gpu"], r["column"], r["seed"]) for r in known}, []
    for job in options.jobs:
        name, gpu = job.split("/")
        work = loaded(options, name, gpu)
        todo = [(s, c) for s in options.seeds for c in options.columns if (name, gpu, c, s) not in done]
        with ray_replaying(work):
            for seed, column in todo:
                rows.append(search(work, column, seed))
                with options.out.open("a") as lines:
                    lines.write(json.dumps(rows[-1]) + "\n")
    return rows


if __name__ == "__main__":
    sys.exit(main())
