"""A whole search on the node's GPU, to be killed and restored: python search_driver.py FOLDER start|restore

What is told is in FOLDER/history.
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
    with zeus.session(config, window_s=0.05, settle_s=0.0) as run:
        for epoch in range(1, 31):
            for _batch in run.steps([None] * 20):
                time.sleep(0.005)
            run.report({"accuracy": min(1.0, epoch * config["batch_size"] ** 0.5 / 80)})


def main(folder, mode):
    ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    processes = [process.pid for process in psutil.Process().children(recursive=True)]
    print(json.dumps({"processes": processes}), flush=True)  # noqa: T201 — read by the scenario
    trainable = tune.with_resources(train, zeus.resources())
    if mode == "restore":
        tuner = tune.Tuner.restore(str(folder / "search"), trainable=trainable, resume_errored=True)
    else:
        searcher = zeus.ZeusSearcher(
            target=zeus.Target("accuracy", 0.9),
            default_batch_size=64,
            policy="nsdi23",
            history=folder / "history",
        )
        tuner = tune.Tuner(
            trainable,
            param_space={"batch_size": tune.choice([16, 32, 64, 128])},
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                search_alg=searcher,
                scheduler=zeus.EnergyScheduler(searcher),
                num_samples=6,
            ),
            run_config=tune.RunConfig(name="search", storage_path=str(folder), verbose=0),
        )
    grid = tuner.fit()
    print(f"errors {len(grid.errors)}\nended", flush=True)  # noqa: T201 — likewise
    ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
