"""A driver with one trial of Ray Tune, whose session sets a limit: python short_trial_driver.py FOLDER

The trial begins when the driver is told a line.
"""

import json
import sys
import time
from pathlib import Path

import psutil
import ray
from ray import tune

import zeus_ray as zeus


def train(config):
    with zeus.session(config, batch_size=8, power_limit_w=150.0) as run:
        for _epoch in range(3):
            for _batch in run.steps([None] * 10):
                time.sleep(0.02)
            run.report({"accuracy": 0.5})


def main(folder):
    ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    processes = [process.pid for process in psutil.Process().children(recursive=True)]
    print(json.dumps({"processes": processes}), flush=True)  # noqa: T201 — read by the scenario
    sys.stdin.readline()
    grid = tune.Tuner(
        tune.with_resources(train, zeus.resources()),
        run_config=tune.RunConfig(name="trial", storage_path=str(folder), verbose=0),
    ).fit()
    print(f"errors {len(grid.errors)}\nended", flush=True)  # noqa: T201 — likewise
    ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
