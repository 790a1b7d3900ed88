"""A search over batch size and power limit of a job on two workers: ``python -m zeus_ray.train.example_ddp``.

Handwritten digits, a small network, DistributedDataParallel. On a machine without GPUs it trains on the CPU
(gloo), and meters simulated GPUs if ``ZEUS_RAY_GPU=simulated`` is set.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import ray
import torch
from ray import tune
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, prepare_data_loader, prepare_model
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import zeus_ray as zeus
from zeus_ray.train import torch_trainer

WORKERS = 2


def train(config: dict[str, Any]) -> None:
    """The training function of every worker."""
    with torch_trainer.session(config) as run:
        digits, labels = load_digits(return_X_y=True)
        data = TensorDataset(torch.tensor(digits / 16, dtype=torch.float32), torch.tensor(labels))
        loader = prepare_data_loader(DataLoader(data, run.micro_batch_size, shuffle=True))
        model = prepare_model(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)))
        optimizer = torch.optim.Adam(model.parameters(), lr=run.scale_lr(1e-3, "sqrt"))
        for _epoch in range(30):
            right = 0
            for x, y in run.steps(loader):
                scores = model(x)
                optimizer.zero_grad()
                nn.functional.cross_entropy(scores, y).backward()
                optimizer.step()
                right += int((scores.argmax(1) == y).sum())
            run.report({"accuracy": right * run.workers / len(data)})


def job(config: dict[str, Any]) -> None:
    """The function of a trial. It holds no GPU; its workers do."""
    TorchTrainer(
        train,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=WORKERS, use_gpu=torch.cuda.is_available()),
        run_config=RunConfig(callbacks=[torch_trainer.ZeusCallback()]),
    ).fit()


def main() -> None:
    """Search, and print the best knobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=6, help="the most trials to run")
    trials = parser.parse_args().trials
    # By default Ray Train takes a report every two seconds; these epochs are shorter.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    ray.init(
        "local", num_cpus=1 + WORKERS, include_dashboard=False
    )  # for the trial's function and each worker
    searcher = zeus.ZeusSearcher(target=zeus.Target("accuracy", 0.95), default_batch_size=64, gpus=WORKERS)
    tune.run(
        job,
        config={"batch_size": tune.choice([16, 32, 64, 128])},
        metric="accuracy",
        mode="max",
        search_alg=searcher,
        scheduler=zeus.EnergyScheduler(searcher),
        resources_per_trial=zeus.resources(gpus=0),
        num_samples=trials,
        max_concurrent_trials=1,
    )
    print(searcher.best())  # noqa: T201 — an example


if __name__ == "__main__":
    main()
