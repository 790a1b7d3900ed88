"""What zeus-ray adds to Ray Tune's driver: CPU seconds of an experiment with it, over those without.

Ray Tune's real controller runs with its trials in this process, so that nothing but the driver is measured:
what the trials themselves take is subtracted. Loggers (JSON, CSV, TensorBoard) are those that ``tune.run``
has by default. Four experiments of N trials with two reports each: Tune with a random searcher and its own
scheduler; the same where trials report as many keys as with a session, which Tune logs and stores; with
EnergyScheduler; and with ZeusSearcher too. On a busy machine they scatter by a third; what the calls of
our searcher and scheduler take of the last two, and the search itself of that, is given apart. Ratios are to
plain Tune with the same keys. Run it as

    python benchmarks/bench_tune_overhead.py --trials 500
"""

import argparse
import contextlib
import functools
import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "tune" / "conformance"))

TARGET_RATIO = 1.2
CALLED_BY_TUNE = {
    "ZeusSearcher": ("suggest", "on_trial_result", "on_trial_complete", "save_to_dir"),
    "EnergyScheduler": ("on_trial_add", "on_trial_result", "on_trial_complete", "choose_trial_to_run"),
}
VARIANTS = ("plain Tune", "plain Tune, same keys", "EnergyScheduler", "ZeusSearcher")


class Stopwatch:
    """CPU seconds of this thread within the functions that it was put around."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self._inside = 0

    def around(self, function: Any) -> Any:
        """``function``, timed."""

        @functools.wraps(function)
        def timed(*arguments: Any, **keywords: Any) -> Any:
            if self._inside:
                return function(*arguments, **keywords)
            began_s = time.thread_time()
            self._inside += 1
            try:
                return function(*arguments, **keywords)
            finally:
                self._inside -= 1
                self.cpu_s += time.thread_time() - began_s

        return timed


Figures = tuple[float, float, float, int, int]
"""CPU seconds of the driver, in our code, and in the search; trials, and reports."""


def measured(name: str, trials: int) -> Figures:
    """The figures of one experiment."""
    from conformance_jobs import SIZES, Job
    from in_process import in_this_process
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler

    import zeus_ray as zeus
    from zeus_ray.records import Target, TrialReport
    from zeus_ray.search.search import Search

    searcher = None
    if name == "ZeusSearcher":
        searcher = zeus.ZeusSearcher(
            target=Target("accuracy", 0.11),  # which each batch size reaches in its second epoch
            default_batch_size=64,
            points_to_evaluate=SIZES * (trials // len(SIZES)),  # so that it does not end before
        )
    scheduler = FIFOScheduler() if name.startswith("plain") else zeus.EnergyScheduler(searcher)
    keys = {}
    if name in {"plain Tune, same keys", "EnergyScheduler"}:  # numbers: TensorBoard's logger writes no NaN
        keys = dict.fromkeys(TrialReport().to_result(), 1.0)
    in_trials, in_ours, in_search = Stopwatch(), Stopwatch(), Stopwatch()
    quick = type("QuickJob", (Job,), {"EPOCHS": 2, "METERED": name == "ZeusSearcher", "CHANGED": keys})
    for method in ("setup", "step", "reset_config"):
        setattr(quick, method, in_trials.around(getattr(quick, method)))
    quiet = {"TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, quiet))
        for method in ("ask", "tell", "should_stop", "observe_profile", "set_remaining"):
            patch = mock.patch.object(Search, method, in_search.around(getattr(Search, method)))
            stack.enter_context(patch)
        for kind, methods in CALLED_BY_TUNE.items():
            ours = getattr(zeus, kind)
            for method in methods:
                patch = mock.patch.object(ours, method, in_ours.around(getattr(ours, method)))
                stack.enter_context(patch)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(mock.patch.dict(os.environ, {"XDG_STATE_HOME": folder}))
        stack.enter_context(in_this_process())
        gc.collect()
        began_s = time.process_time()
        result = tune.run(
            quick,
            search_alg=searcher,
            scheduler=scheduler,
            config={"batch_size": tune.choice(SIZES)},
            num_samples=trials,
            reuse_actors=True,
            storage_path=folder,
            verbose=0,
        )
        cpu_s = time.process_time() - began_s - in_trials.cpu_s
        reports = sum(trial.last_result["training_iteration"] for trial in result.trials)
        return cpu_s, in_ours.cpu_s, in_search.cpu_s, len(result.trials), reports


def in_new_process(name: str, trials: int) -> Figures:
    """:func:`measured` in a process of its own: TensorBoard's writers leave threads behind."""
    command = [sys.executable, __file__, "--trials", str(trials), "--only", name]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 — this file
    cpu_s, ours_s, search_s, made, reports = json.loads(output.splitlines()[-1])
    return cpu_s, ours_s, search_s, made, reports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=VARIANTS, help="print the numbers of this experiment as JSON")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    if options.only:
        measured(options.only, 4)  # imports
        print("\n" + json.dumps(measured(options.only, options.trials)))
        return
    best = dict.fromkeys(VARIANTS, (float("inf"), 0.0, 0.0, 0, 0))
    for _ in range(options.repeats):
        for name in VARIANTS:
            best[name] = min(best[name], in_new_process(name, options.trials))
    plain_s, _, _, plain_trials, _ = best["plain Tune, same keys"]
    for name, (cpu_s, ours_s, search_s, trials, reports) in best.items():
        each_ms, ratio = 1000 * cpu_s / trials, cpu_s / trials / (plain_s / plain_trials)
        within = (
            f"; {1000 * ours_s / trials:.2f} ms in our code, {1000 * search_s / trials:.2f} in the search"
        )
        counts = f"{trials:4d} trials {reports:5d} reports"
        print(f"{name:<21} {counts}  {each_ms:6.2f} ms CPU a trial  {ratio:.2f}{within}")
    print(f"the goal is {TARGET_RATIO} times plain Tune with the same keys at most")


if __name__ == "__main__":
    main()
