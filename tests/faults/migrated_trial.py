"""A trial that Ray Tune pauses and resumes on another node, where it is killed and restarted.

``search`` runs it on the cluster that this process has joined, whose nodes have the resources ``node_a`` and
``node_b``. ``migration_checks.check_migration`` checks the result.
"""

import json
import os
import signal
import time
from pathlib import Path

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

import zeus_ray as zeus

STEP_S = 0.25
PAUSE_AT, KILL_AT, END_AT = 4, 8, 12


def train(config):
    """Attempt 1 is paused, attempt 2 kills itself some time after a report, attempt 3 ends."""
    folder, done = Path(config["folder"]), 0
    if (checkpoint := tune.get_checkpoint()) is not None:
        with checkpoint.as_directory() as saved:
            done = int(Path(saved, "done").read_text())
    called_s = time.monotonic()
    with zeus.session(config, power_limit_w=config["limit_w"]) as run:
        start_s = time.monotonic()
        node = os.environ["FAKE_NVML_NODE"]

        def note():
            with (folder / "attempts").open("a") as file:
                print(json.dumps([called_s, start_s, time.monotonic(), node]), file=file)

        while done < END_AT:
            time.sleep(STEP_S)
            done += 1
            saved = folder / f"step-{done}"
            saved.mkdir(exist_ok=True)
            (saved / "done").write_text(str(done))
            note()
            run.report({"step": done, "node": node}, checkpoint=tune.Checkpoint.from_directory(saved))
            if done == KILL_AT and not (folder / "killed").exists():
                (folder / "killed").touch()
                time.sleep(4 * STEP_S)  # energy that is in no report
                note()
                os.kill(os.getpid(), signal.SIGKILL)


@ray.remote(num_cpus=0, num_gpus=1)
class Occupant:
    """Takes a GPU of the paused trial's node, so that the trial must resume on the other node."""

    def there(self):
        return True


class PauseOnce(FIFOScheduler):
    """Pauses the trial, and resumes it once all GPUs of its node are taken."""

    def __init__(self):
        super().__init__()
        self.occupants, self.there = [], []

    def on_trial_result(self, _controller, _trial, result):
        if result["step"] != PAUSE_AT or self.occupants:
            return TrialScheduler.CONTINUE
        here = f"node_{result['node']}"
        gpus = sum(int(node["Resources"]["GPU"]) for node in ray.nodes() if here in node["Resources"])
        self.occupants = [Occupant.options(resources={here: 0.01}).remote() for _ in range(gpus)]
        self.there = [occupant.there.remote() for occupant in self.occupants]
        return TrialScheduler.PAUSE

    def choose_trial_to_run(self, tune_controller):
        waiting = ray.wait(self.there, num_returns=len(self.there), timeout=0)[1] if self.there else []
        return None if waiting else super().choose_trial_to_run(tune_controller)


def search(folder, limit_w):
    """Run it; returns the trial's last result."""
    scheduler = PauseOnce()
    try:
        result = tune.run(
            train,
            config={"batch_size": 8, "limit_w": limit_w, "folder": str(folder)},
            scheduler=scheduler,
            max_failures=1,
            resources_per_trial={"cpu": 1, "gpu": 1, "custom_resources": {"may_set": 1}},
            storage_path=str(folder),
            time_budget_s=120,  # it takes ten; what hangs is to fail
            verbose=0,
        )
    finally:
        for occupant in scheduler.occupants:  # or the next search on this cluster would wait for their GPUs
            ray.kill(occupant)
    return result.trials[0].last_result
