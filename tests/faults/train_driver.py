"""A driver whose trial is a Ray Train job: its worker leases the GPU, and Ray Tune stops the trial early.

python train_driver.py FOLDER LIMIT_W
FOLDER/stopped is created with the decision, FOLDER/finally if the worker's ``finally`` ran. The driver keeps
Ray running until FOLDER/stop exists, so that the limit is not restored by Ray's shutdown.
"""

import json
import logging
import sys
import time
from pathlib import Path

import psutil
import ray
import ray.train
from ray import tune
from ray.train.v2.api.data_parallel_trainer import (
    DataParallelTrainer,
)  # a TorchTrainer is one; no torch needed
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

STOP_AT = 5
MOST_RESTARTS = 5
"""On a busy machine Ray 2.60 may remove the workers of a Train job that runs (apparently as its
PlacementGroupCleaner takes a controller that the state API once does not list for dead): Tune then
starts the trial again."""


def work(config):
    """The training function of the job's one worker."""
    from zeus_ray.actors.lease_gpus_through_actors import lease_gpus
    from zeus_ray.leases.process import HolderProcess

    given = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    group = lease_gpus(HolderProcess.current("trial"), source="nvml", control="auto", given=given)
    try:
        group.set_limit(config["limit_w"])
        while True:
            ray.train.report({"energy_j": group.read().energy_j})
            time.sleep(0.1)
    finally:
        Path(config["folder"], "finally").touch()
        group.release()


def trial(config):
    """The function that Tune runs: it has no GPU, its worker has."""
    DataParallelTrainer(
        work,
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(num_workers=1, use_gpu=True),
        run_config=ray.train.RunConfig(
            storage_path=config["folder"], name="job", callbacks=[TuneReportCallback()]
        ),
    ).fit()


class StopEarly(FIFOScheduler):
    """Stops the trial, as a search does."""

    def on_trial_result(self, _controller, trial, result):
        if result["training_iteration"] < STOP_AT:
            return TrialScheduler.CONTINUE
        Path(trial.config["folder"], "stopped").touch()
        return TrialScheduler.STOP


def main(folder, limit_w):
    ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
    # With a dashboard: without one, a Train run that is stopped early keeps its workers for 45 s or more.
    ray.init("local", num_cpus=3, include_dashboard=True, log_to_driver=False, logging_level=logging.ERROR)
    processes = psutil.Process().children(recursive=True)
    print(json.dumps({"processes": [p.pid for p in processes]}), flush=True)  # noqa: T201 — read by the scenario
    tune.run(
        trial,
        config={"folder": str(folder), "limit_w": limit_w},
        scheduler=StopEarly(),
        resources_per_trial={"cpu": 1},
        storage_path=str(folder),
        max_failures=MOST_RESTARTS,
        verbose=0,
    )
    while not (folder / "stop").exists():
        time.sleep(0.05)
    print("ended", flush=True)  # noqa: T201 — likewise


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
