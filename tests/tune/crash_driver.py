"""A driver to be killed: ``crash_driver.py start|restore FOLDER``. Not a test."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import ray
from ray import tune
from trainables import curve

import zeus_ray as zeus


def train(config):
    with zeus.session(config) as run:
        for epoch in range(1, 31):
            for _batch in run.steps([None] * 100):
                pass
            time.sleep(0.02)  # time to be killed in
            run.report({"accuracy": curve(epoch, config["batch_size"])})


class ResultWriter(tune.Callback):
    """Writes down the run of each result; the first driver process waits to be killed after three ends."""

    def __init__(self, folder):
        self.folder, self.ended = folder, 0

    def on_trial_result(self, iteration, trials, trial, result, **_info):  # noqa: ARG002 — Tune's
        row = {"life": os.getpid(), "run": str(trial.config["zeus"])}
        with (self.folder / "heard.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def on_trial_complete(self, iteration, trials, trial, **_info):  # noqa: ARG002 — Tune's
        self.ended += 1
        if self.ended == 3 and not (self.folder / "killed").exists():
            (self.folder / "killed").touch()
            threading.Event().wait()


def main(mode, folder):
    ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
    ray.cloudpickle.register_pickle_by_value(sys.modules["trainables"])
    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    if mode == "restore":
        tuner = tune.Tuner.restore(str(folder / "search"), trainable=train, resume_errored=True)
    else:
        searcher = zeus.ZeusSearcher(
            target=zeus.Target("accuracy", 0.9),
            default_batch_size=64,
            policy="nsdi23",
            history=folder / "history",
        )
        tuner = tune.Tuner(
            train,
            param_space={"batch_size": tune.choice([16, 32, 64, 128])},
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                search_alg=searcher,
                scheduler=zeus.EnergyScheduler(searcher),
                num_samples=8,
            ),
            run_config=tune.RunConfig(
                name="search", storage_path=str(folder), verbose=0, callbacks=[ResultWriter(folder)]
            ),
        )
    grid = tuner.fit()
    sys.stdout.write(f"RAN {len(grid)} ERRORS {len(grid.errors)}\n")
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
