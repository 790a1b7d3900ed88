"""What zeus-ray adds to Ray Tune's driver: CPU seconds of an experiment with it, over those without.

Ray Tune's real controller runs with its trials in this process, so that nothing but the driver is measured;
trials report at once. Four experiments of N trials with two reports each: Tune with a random searcher and
its own scheduler; the same where trials report as many keys as with a session, each of which Tune keeps
statistics of; with EnergyScheduler; and with ZeusSearcher too. Run it as

    python benchmarks/bench_tune_overhead.py --trials 500
"""

import argparse
import gc
import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "tune" / "conformance"))

TARGET_RATIO = 1.2


class Quick:
    """Mixed into a job: two epochs, whatever its batch size."""

    EPOCHS = 2


def measured(name: str, trials: int) -> tuple[float, int]:
    """CPU seconds of one experiment, and how many trials it had."""
    from in_process import run
    from jobs import SIZES, Job
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler

    import zeus_ray as zeus
    from zeus_ray.records import Target, TrialReport

    searcher = None
    if name == "ZeusSearcher":
        searcher = zeus.ZeusSearcher(
            target=Target("accuracy", 0.12),  # some reach it in two epochs
            default_batch_size=64,
            points_to_evaluate=SIZES * (trials // len(SIZES)),  # so that it does not end before
        )
    scheduler = FIFOScheduler() if name.startswith("plain") else zeus.EnergyScheduler(searcher)
    keys = TrialReport().to_result() if name in {"plain, same keys", "EnergyScheduler"} else {}
    quick = type("QuickJob", (Quick, Job), {"METERED": name == "ZeusSearcher", "CHANGED": keys})
    with tempfile.TemporaryDirectory() as folder:
        gc.collect()
        began_s = time.process_time()
        result = run(
            quick,
            folder,
            search_alg=searcher,
            scheduler=scheduler,
            config={"batch_size": tune.choice(SIZES)},
            num_samples=trials,
            reuse_actors=True,
        )
        return time.process_time() - began_s, len(result.trials)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    measured("ZeusSearcher", 4)  # imports
    names = ("plain", "plain, same keys", "EnergyScheduler", "ZeusSearcher")
    best = dict.fromkeys(names, (float("inf"), 0))
    for _ in range(options.repeats):
        for name in names:
            best[name] = min(best[name], measured(name, options.trials))
    plain_s, trials = best["plain"]
    per_trial_s = plain_s / trials
    for name, (cpu_s, trials) in best.items():
        ratio = cpu_s / trials / per_trial_s
        each = f"{1000 * cpu_s / trials:5.2f} ms a trial"
        print(f"{name:<16} {trials:4d} trials  {cpu_s:6.2f} s CPU  {each}  {ratio:.2f}")
    print(f"the goal is {TARGET_RATIO} times plain Tune at most")


if __name__ == "__main__":
    main()
