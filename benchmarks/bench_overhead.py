"""What zeus-ray itself costs: a whole search, one suggestion, one lease, one training step.

    python benchmarks/bench_overhead.py [--quick] [--steps] [--pairs 5]

The search is timed in pairs, alternately with and without zeus-ray, on the same trials: same batch sizes,
same number of epochs, same work per step. Times of single calls are medians.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIZES = [8 * i for i in range(1, 21)]
TARGET_ACCURACY = 0.95
WORK = np.random.default_rng(0).random((160, 160))


def work_one_step() -> None:
    """About a third of a millisecond of arithmetic, in place of a training step."""
    WORK @ WORK


def accuracy(epoch: int, batch_size: int) -> float:
    return 1 - float(np.exp(-epoch / (2 + batch_size / 80)))


def train_with(config: dict[str, Any]) -> None:
    import zeus_ray as zeus

    with zeus.session(config) as run:
        for epoch in range(1, 31):
            for _batch in run.steps([None] * config["steps"]):
                work_one_step()
            run.report({"accuracy": accuracy(epoch, config["batch_size"])})


def train_without(config: dict[str, Any]) -> None:
    from ray import tune

    for epoch in range(1, config["epochs"] + 1):
        for _batch in [None] * config["steps"]:
            work_one_step()
        tune.report({"accuracy": accuracy(epoch, config["batch_size"])})


def search_with(trials: int, steps: int, folder: str) -> tuple[float, list[tuple[int, int]]]:
    """Seconds, and (batch size, epochs) of every trial."""
    from ray import tune

    import zeus_ray as zeus

    searcher = zeus.ZeusSearcher(
        target=zeus.Target("accuracy", TARGET_ACCURACY),
        default_batch_size=SIZES[len(SIZES) // 2],
        policy="nsdi23",  # it tries all twenty batch sizes; "zeus-ray" would end the search earlier
    )
    began_s = time.perf_counter()
    result = tune.run(
        train_with,
        config={"batch_size": tune.choice(SIZES), "steps": steps},
        metric="accuracy",
        mode="max",
        search_alg=searcher,
        scheduler=zeus.EnergyScheduler(searcher),
        num_samples=trials,
        resources_per_trial={"cpu": 1},
        storage_path=folder,
        verbose=0,
    )
    took_s = time.perf_counter() - began_s
    return took_s, [(t.config["batch_size"], t.last_result["training_iteration"]) for t in result.trials]


def search_without(trials: list[tuple[int, int]], steps: int, folder: str) -> float:
    """Seconds for the same trials, suggested from a list."""
    from ray import tune
    from ray.tune.search import Searcher

    class FromList(Searcher):
        def __init__(self) -> None:
            super().__init__(metric="accuracy", mode="max")
            self.left = [{"batch_size": b, "epochs": e, "steps": steps} for b, e in trials]

        def suggest(self, trial_id: str) -> Any:  # noqa: ARG002 — Tune calls it so
            return self.left.pop(0) if self.left else Searcher.FINISHED

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            pass

    began_s = time.perf_counter()
    tune.run(
        train_without,
        search_alg=FromList(),
        num_samples=len(trials),
        resources_per_trial={"cpu": 1},
        storage_path=folder,
        verbose=0,
    )
    return time.perf_counter() - began_s


def median_s(call: Callable[[], object], times: int) -> float:
    """Median seconds of one call."""
    taken = []
    for _ in range(times):
        began_s = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began_s)
    return statistics.median(taken)


def measure_search(pairs: int, trials: int, steps: int) -> None:
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        search_with(2, steps, folder)  # starts the actors, which is not measured
        for pair in range(pairs):
            with_s, ran = search_with(trials, steps, folder)
            without_s = search_without(ran, steps, folder)
            ratios.append(with_s / without_s)
            print(f"  pair {pair + 1}: {len(ran)} trials, with {with_s:.2f} s, without {without_s:.2f} s")
    print(f"search, wall time with / without: {statistics.median(ratios):.3f} (aim: 1.05)")


def measure_suggest(told: int) -> None:
    from zeus_ray.records import Measurement, Outcome, PowerProfile, Target
    from zeus_ray.search.search import Search

    search = Search(
        batch_sizes=SIZES,
        default_batch_size=80,
        target=Target("accuracy", 0.9),
        recurring=True,
        max_epochs=100,
    )
    rng = np.random.default_rng(1)
    taken = []
    for _ in range(told):
        began_s = time.perf_counter()
        knobs = search.ask()
        taken.append(time.perf_counter() - began_s)
        if knobs is None:
            raise SystemExit("the search suggests nothing, although no run is pending")
        points = tuple((w, 0.9 * w, 10.0 * (1 + 30 / w)) for w in (250.0, 200.0, 150.0, 100.0))
        search.observe_profile(
            PowerProfile(batch_size=knobs.batch_size, gpu="V100", max_power_w=250.0, points=points)
        )
        epochs = float(10 + abs(knobs.batch_size - 40) / 10 + rng.normal())
        search.tell(
            Outcome(
                knobs=knobs,
                reached=True,
                epochs=epochs,
                metric=0.9,
                measurement=Measurement(energy_j=1000 * epochs, time_s=10 * epochs),
                gpu="V100",
            )
        )
    last = statistics.median(taken[-100:]) * 1e3
    print(f"suggest with {told:,} told outcomes: {last:.3f} ms (aim: 2 ms)")


def measure_lease() -> None:
    import ray

    from zeus_ray.actors.lease_gpus_through_actors import GpuActorClient
    from zeus_ray.leases.process import HolderProcess

    client = GpuActorClient("simulated:V100", "SIM-V100-0", ray.nodes()[0]["NodeID"])
    holder = HolderProcess.current("bench")

    def lease_and_release() -> None:
        client.release(client.acquire(holder).lease_id)

    lease_and_release()
    print(f"lease + release: {median_s(lease_and_release, 200) * 1e3:.2f} ms")


def measure_step(steps: int) -> None:
    from zeus_ray.gpus.simulated_gpu import SimulatedGpu
    from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
    from zeus_ray.leases.process import HolderProcess
    from zeus_ray.records import Knobs, Plan
    from zeus_ray.training.gpu_group_over_ranks import DistributedGpuGroup
    from zeus_ray.training.leased_gpu_group import GpuGroup, LeasedGpu
    from zeus_ray.training.training_run import TrainingRun

    manager = LeaseManager(SimulatedGpu.open("V100", 0))
    leased = GpuGroup([LeasedGpu.local(manager, HolderProcess.current("bench"))])
    for name, group in (
        ("a simulated GPU", leased),
        ("no GPU", GpuGroup([])),
        ("a group of the workers of Ray Train", DistributedGpuGroup(GpuGroup([]), lambda value: [value])),
    ):
        run = TrainingRun(Plan(knobs=Knobs(run_id="", batch_size=8)), group)
        loader = [None] * steps

        def bare(loader: list[None] = loader) -> None:
            for _ in loader:
                pass

        def metered(run: TrainingRun = run, loader: list[None] = loader) -> None:
            for _ in run.steps(loader):
                pass

        per_step_us = (median_s(metered, 15) - median_s(bare, 15)) / steps * 1e6
        print(f"steps(), per training step on {name}: {per_step_us:.2f} µs (aim: 20 µs)")
        group.release()


def measure_online_step(steps: int) -> None:
    """A settled run that chooses its limit while it trains, on a GPU whose clock is this process's."""
    from zeus_ray.gpus.energy.readings import Reading
    from zeus_ray.gpus.protocol import LimitRange
    from zeus_ray.leases.lease_and_gpu_status import Lease
    from zeus_ray.records import Knobs, MeasuredBy, OnlineOptions, Plan
    from zeus_ray.training.leased_gpu_group import GpuGroup, LeasedGpu
    from zeus_ray.training.training_run import TrainingRun

    class SteadyGpu:
        """200 W at any limit."""

        limit_w = 300.0

        def read(self, _lease_id: str = "") -> Reading:
            now_s = time.perf_counter()
            return Reading(energy_j=200 * now_s, time_s=now_s, power_limit_w=self.limit_w, shared=False)

        def set_limit(self, _lease_id: str, limit_w: float) -> Reading:
            self.limit_w = limit_w
            return self.read()

    gpu = SteadyGpu()
    lease = Lease(
        lease_id="0",
        uuid="GPU-0",
        gpu="V100",
        measured_by=MeasuredBy.COUNTER,
        range=LimitRange(min_w=100, max_w=300, default_w=300),
        original_limit_w=300.0,
        may_set=True,
        why_not="",
        virtual=False,
        reading=gpu.read(),
    )
    plan = Plan(knobs=Knobs(run_id="", batch_size=8, probe_limits_w=None), online=OnlineOptions())
    run = TrainingRun(plan, GpuGroup([LeasedGpu(gpu, lease)]), window_s=0.01, settle_s=0.0)
    while not run._limit.settled:  # noqa: SLF001 — only a settled run is measured
        with run.step():
            time.sleep(0.001)

    def bare() -> None:
        for _ in range(steps):
            pass

    def stepped() -> None:
        for _ in range(steps):
            with run.step():
                pass

    per_step_us = (median_s(stepped, 15) - median_s(bare, 15)) / steps * 1e6
    print(f"step(), per training step of a run that chooses its limit: {per_step_us:.2f} µs (aim: 5 µs)")


def measure_frameworks(steps: int, times: int) -> None:
    """Whole trainings, alternately with and without our callback; the fastest of each counts.

    Processor time of the training thread, which other load on the machine hardly changes.
    """
    for name, fit in (("Lightning", fit_lightning), ("Transformers", fit_transformers)):
        fit(10, None)
        with_s, without_s = [], []
        for _ in range(times):
            without_s.append(fit(steps, None))
            with_s.append(fit(steps, settled_run()))
        per_step_us = (min(with_s) - min(without_s)) / steps * 1e6
        of_us = min(without_s) / steps * 1e6
        print(f"{name}, per training step of {of_us:.0f} µs: {per_step_us:.2f} µs (aim: 20 µs)")


def settled_run() -> Any:
    from zeus_ray.records import Knobs, Plan
    from zeus_ray.training.leased_gpu_group import GpuGroup
    from zeus_ray.training.training_run import TrainingRun

    return TrainingRun(Plan(knobs=Knobs(run_id="", batch_size=8)), GpuGroup([]))


def fit_lightning(steps: int, run: Any) -> float:
    """Processor seconds of ``trainer.fit`` over ``steps`` steps."""
    import lightning.pytorch as pl
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from zeus_ray.train.lightning import ZeusCallback

    class Line(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch: Any, index: int) -> Any:  # noqa: ARG002 — Lightning's
            return self.layer(batch[0]).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[ZeusCallback(run)] if run else [],
        **dict.fromkeys(off, False),
    )
    loader = DataLoader(TensorDataset(torch.rand(8 * steps, 4)), batch_size=8)
    began_s = time.thread_time()
    trainer.fit(Line(), loader)
    return time.thread_time() - began_s


def fit_transformers(steps: int, run: Any) -> float:
    """Processor seconds of ``trainer.train`` over ``steps`` steps."""
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PrinterCallback, Trainer, TrainingArguments

    from zeus_ray.train.transformers import ZeusCallback

    class Line(PreTrainedModel):
        config_class = PretrainedConfig

        def __init__(self) -> None:
            super().__init__(PretrainedConfig())
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, x: Any, labels: Any = None) -> Any:  # noqa: ARG002 — Transformers'
            return {"loss": self.layer(x).square().mean()}

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=Line(),
            args=TrainingArguments(
                output_dir=folder,
                use_cpu=True,
                disable_tqdm=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                num_train_epochs=1,
                per_device_train_batch_size=8,
            ),
            train_dataset=[{"x": torch.rand(4), "labels": 0} for _ in range(8 * steps)],
            callbacks=[ZeusCallback(run)] if run else [],
        )
        trainer.remove_callback(PrinterCallback)
        began_s = time.thread_time()
        trainer.train()
        return time.thread_time() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one pair of short searches: does it run?")
    parser.add_argument("--steps", action="store_true", help="only what a training step costs, without Ray")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of 20-trial searches")
    options = parser.parse_args()
    os.environ["ZEUS_RAY_GPU"] = "simulated:V100"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_STATE_HOME"] = home
        os.environ["ZEUS_RAY_STATE_DIR"] = str(Path(home) / "state")
        measure_step(2_000 if options.quick else 20_000)
        measure_online_step(2_000 if options.quick else 20_000)
        logging.disable(logging.WARNING)  # their advice on speed
        warnings.simplefilter("ignore")
        measure_frameworks(*((200, 2) if options.quick else (2_000, 9)))
        logging.disable(logging.NOTSET)
        if options.steps:
            return
        measure_suggest(100 if options.quick else 1_000)
        import ray

        ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
        try:
            measure_lease()
            measure_search(*((1, 3, 5) if options.quick else (options.pairs, 20, 60)))
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main()
