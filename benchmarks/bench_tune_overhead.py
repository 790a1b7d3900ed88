"""What zeus-ray adds to Ray Tune's driver: CPU seconds of an experiment with it, over those without.

Ray Tune's real controller runs with its trials in this process, so that nothing but the driver is measured:
what the trials themselves take is subtracted. Loggers (JSON, CSV, TensorBoard) are those that ``tune.run``
has by default. Four experiments of N trials with two reports each: Tune with a random searcher and its own
scheduler; the same where trials report as many keys as with a session, which Tune logs and stores; with
EnergyScheduler; and with ZeusSearcher too. The kernel's part (files, threads of TensorBoard) scatters by a
factor of two between runs of the same experiment, so that the least of several runs is taken, of user and of
system time each. What the calls of our searcher and scheduler take of the last two, and the search itself of
that, is given apart. Ratios are to plain Tune, and to plain Tune with the same keys and values as a
session's, of both times together and of user time alone. Run it on a machine that does nothing else, as

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
from typing import Any, NamedTuple
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


class Figures(NamedTuple):
    """CPU seconds of the driver (user, system), in our code, and in the search; trials, and reports."""

    user_s: float
    system_s: float
    ours_s: float
    search_s: float
    trials: int
    reports: int


def session_keys() -> dict[str, Any]:
    """What a session adds to a result. Many are NaN or empty: Tune stores them, TensorBoard omits them."""
    from conformance_jobs import Job

    from zeus_ray.records import Knobs, Plan

    plan = Plan(knobs=Knobs(run_id="1", batch_size=64), eta=0.5)
    job = Job({"batch_size": 64, "zeus": plan.to_config()})
    return {key: value for key, value in job.step().items() if key.startswith("zeus/")}


def measured(name: str, trials: int) -> Figures:
    """The figures of one experiment."""
    from conformance_jobs import SIZES, Job
    from in_process import in_this_process
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler

    import zeus_ray as zeus
    from zeus_ray.records import Target
    from zeus_ray.search.search import Search

    searcher = None
    if name == "ZeusSearcher":
        searcher = zeus.ZeusSearcher(
            target=Target("accuracy", 0.11),  # which each batch size reaches in its second epoch
            default_batch_size=64,
            points_to_evaluate=SIZES * (trials // len(SIZES)),  # so that it does not end before
        )
    scheduler = FIFOScheduler() if name.startswith("plain") else zeus.EnergyScheduler(searcher)
    keys = session_keys() if name in {"plain Tune, same keys", "EnergyScheduler"} else {}
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
        before = os.times()
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
        after = os.times()
        reports = sum(trial.last_result["training_iteration"] for trial in result.trials)
        user_s = after.user - before.user - in_trials.cpu_s
    times_s = user_s, after.system - before.system, in_ours.cpu_s, in_search.cpu_s
    return Figures(*times_s, len(result.trials), reports)


def in_new_process(name: str, trials: int) -> Figures:
    """:func:`measured` in a process of its own: TensorBoard's writers leave threads behind."""
    command = [sys.executable, __file__, "--trials", str(trials), "--only", name]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 — this file
    return Figures(*json.loads(output.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=VARIANTS, help="print the numbers of this experiment as JSON")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    if options.only:
        measured(options.only, 4)  # imports
        print("\n" + json.dumps(measured(options.only, options.trials)))
        return
    runs: dict[str, list[Figures]] = {name: [] for name in VARIANTS}
    for _ in range(options.repeats):
        for name in VARIANTS:
            runs[name].append(in_new_process(name, options.trials))
    least = {name: Figures(*map(min, zip(*figures, strict=True))) for name, figures in runs.items()}
    total_s = {name: figures.user_s + figures.system_s for name, figures in least.items()}
    for name, figures in least.items():
        ms = 1000 / figures.trials
        both = " ".join(f"{total_s[name] / total_s[plain]:.2f}" for plain in VARIANTS[:2])
        user = " ".join(f"{figures.user_s / least[plain].user_s:.2f}" for plain in VARIANTS[:2])
        print(
            f"{name:<21} {figures.trials:4d} trials {figures.reports:5d} reports"
            f"  {ms * total_s[name]:6.2f} ms CPU a trial  {both}; user {ms * figures.user_s:6.2f} ms  {user};"
            f" {ms * figures.ours_s:.2f} ms in our code, {ms * figures.search_s:.2f} in the search"
        )
    print(f"ratios: to plain Tune, and with the same keys; the goal is {TARGET_RATIO} at most")


if __name__ == "__main__":
    main()
