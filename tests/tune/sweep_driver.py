"""A sweep with ``Elastic`` that a test kills: ``sweep_driver.py FOLDER``. Not a test.

The results that its driver received are in FOLDER/heard.jsonl, since the sweep's own files are under test.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import ray
from ray import tune

import zeus_ray as zeus

STEPS, TRIALS = 10, 4
START_S = 1_640_995_200.0  # 2022
RATE = 600.0
"""Six seconds are an hour on the grid, of which the first four are clean."""
CLEAN, DIRTY = 100.0, 200.0
INTENSITY = [CLEAN, CLEAN, DIRTY] * 40


class Model(tune.Trainable):
    """Trains for 1.6 s, and can be paused.

    Before the kill the second and third trial do not pass their third step: at the kill the second one runs
    and the third one is paused.
    """

    def setup(self, config):
        self.done = 0
        self.ready = Path(config["folder"]) / "standing.json"

    @property
    def run(self):
        """Its id in the search: zeus.metered hides our entry of the config."""
        return self._zeus_run.plan.knobs.run_id

    def reset_config(self, config):
        self.setup(config)
        return True

    def step(self):
        time.sleep(0.16)  # this is the training
        while self.run == "2" and self.done == 2 and not self.ready.exists():
            time.sleep(0.01)
        if self.run != "3" or self.done < 2 or self.ready.exists():
            self.done += 1
        return {"accuracy": self.done / STEPS, "steps": self.done, "done": self.done >= STEPS}

    def save_checkpoint(self, folder):
        Path(folder, "done").write_text(str(self.done))

    def load_checkpoint(self, folder):
        self.done = int(Path(folder, "done").read_text())


class ResultLog(tune.Callback):
    """Logs every result. The first process waits to be killed once one trial has ended, runs, is paused."""

    def __init__(self, folder):
        self.folder, self.before = folder, False

    def on_trial_result(self, iteration, trials, trial, result, **_info):  # noqa: ARG002 — Tune's
        row = {"life": os.getpid(), "trial": trial.trial_id, "steps": result["steps"]}
        with (self.folder / "heard.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def on_step_end(self, iteration, trials, **_info):  # noqa: ARG002 — Tune's
        standing = {t.trial_id: t.status for t in trials if t.has_reported_at_least_once}
        now = {"TERMINATED", "RUNNING", "PAUSED"} <= set(standing.values())
        staged = Path(trials[0].storage.experiment_driver_staging_path)
        ready = now and self.before and not (self.folder / "standing.json").exists()
        if ready and has_saved(staged, standing):
            wait_until_copied(staged, self.folder / "sweep")
            (self.folder / "standing.new").write_text(json.dumps(standing))
            (self.folder / "standing.new").rename(self.folder / "standing.json")
            threading.Event().wait()
        self.before = now


def has_saved(staged, standing):
    """Whether Tune has saved every trial that has ended or is paused. How often it may is bounded."""
    newest = max(staged.glob("experiment_state-*.json"), key=lambda path: path.stat().st_mtime)
    states = [json.loads(state) for state, _runtime in json.loads(newest.read_text())["trial_data"]]
    saved = {(state["trial_id"], state["status"]) for state in states}
    return {(trial, status) for trial, status in standing.items() if status != "RUNNING"} <= saved


def wait_until_copied(staged, stored):
    """Wait until a thread of Tune has copied what Tune saved."""
    saved = [path for path in staged.iterdir() if path.is_file()]
    while any(path.read_bytes() != (stored / path.name).read_bytes() for path in saved):
        time.sleep(0.01)


def trainable():
    return tune.with_resources(zeus.metered(Model), zeus.resources())


def main(folder):
    ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
    ray.init("local", num_cpus=4, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    rows = [f"{START_S + i * 1200:.0f},{value}" for i, value in enumerate(INTENSITY)]
    (folder / "grid.csv").write_text("\n".join(["timestamp,carbon_intensity", *rows]))
    searcher = zeus.ZeusSearcher(
        zeus.Target("accuracy", 1.0),
        default_batch_size=64,
        policy="nsdi23",
        beta=100,  # it is not stopped for the time that it waits
        history=folder / "history",
    )
    elastic = zeus.Elastic(
        f"csv:{folder / 'grid.csv'}",
        deadline=START_S + 40 * 3600,
        max_trials=2,
        replan_every_s=120.0,
        clock=(time.time(), START_S, RATE),
    )
    tuner = tune.Tuner(
        trainable(),
        param_space={"batch_size": tune.choice([16, 32, 64, 128]), "folder": str(folder)},
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=zeus.EnergyScheduler(searcher, carbon=elastic),
            num_samples=TRIALS,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="sweep", storage_path=str(folder), verbose=0, callbacks=[ResultLog(folder)]
        ),
    )
    tuner.fit()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
