"""Ray Train on two nodes: two workers and two GPUs are one run at one limit.

Without Ray's dashboard a stopped job may keep its placement group, so the cluster has room for two jobs. An
early stop from outside is tested among the faults (``train_job_stopped_early``), with a dashboard.
"""

import math
import sys
from pathlib import Path

import pytest

# "frameworks" too: run in a process of its own.
pytestmark = [pytest.mark.ray, pytest.mark.frameworks, pytest.mark.usefixtures("cluster")]
tune = pytest.importorskip("ray.tune")

import ray  # noqa: E402 — after the marker: importing it takes seconds

import zeus_ray as zeus  # noqa: E402
from zeus_ray.records import EmissionsConfig, PowerProfile, StopReason, Target, TrialReport, from_json  # noqa: E402

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests
LIMITS_W = [250.0, 150.0, 100.0]


class Hardware:
    """What this worker's GPU does, read from the fake hardware itself."""

    def __init__(self):
        import ctypes
        import os

        import pynvml

        pynvml.nvmlInit()
        self.index = int(ray.get_runtime_context().get_accelerator_ids()["GPU"][0])
        self.handle = pynvml.nvmlDeviceGetHandleByIndex(self.index)
        self.limit_w = lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(self.handle) / 1000
        self.c = ctypes.CDLL("libnvidia-ml.so.1")
        self.c.fake_attach.restype, self.c.fake_attach.argtypes = ctypes.c_void_p, [ctypes.c_char_p] * 3
        self.c.fake_true_energy.restype = ctypes.c_double
        self.c.fake_true_energy.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        name, cards = (os.environ[f"FAKE_NVML_{what}"].encode() for what in ("NODE", "CARDS"))
        path = os.environ["FAKE_NVML_STATE"].encode() + b"/" + name + b".gpus"
        self.node = self.c.fake_attach(path, cards, name)

    def energy_j(self):
        return self.c.fake_true_energy(self.node, self.index)


def measured_between(run, hardware):
    """What the run measures, and what this worker's GPU had used (J) before and after that."""
    before_j = hardware.energy_j()
    return run.measure({}), (before_j, hardware.energy_j())


def worker(config):
    import torch
    from torch.nn.parallel import DistributedDataParallel

    from zeus_ray.train import torch_trainer

    with pytest.raises(zeus.BadInput, match=r"torch_trainer\.session"):
        zeus.session(config)
    with torch_trainer.session(config, window_s=0.3, settle_s=0.1) as run:
        model = DistributedDataParallel(torch.nn.Linear(8, 8))
        hardware, limits = Hardware(), []
        first, first_j = measured_between(run, hardware)
        for epoch in range(1, 41):
            for _batch in run.steps([None] * 100):
                limits.append(hardware.limit_w())
                if config["does"] == "runs out of memory" and run.rank == 1:
                    raise torch.OutOfMemoryError("tried to allocate 80 GiB")
                model(torch.rand(run.micro_batch_size, 8)).sum().backward()
            now, now_j = measured_between(run, hardware)
            true_j = (now_j[0] - first_j[1], now_j[1] - first_j[0])
            everyones = torch_trainer.everyones((limits, true_j, ray.get_runtime_context().get_node_id()))
            run.report(
                {
                    "accuracy": epoch / 10,
                    "same_limits": all(theirs == limits for theirs, _j, _node in everyones),
                    "limits_w": sorted(set(limits), reverse=True),
                    "least_j": sum(least_j for _limits, (least_j, _most_j), _node in everyones),
                    "most_j": sum(most_j for _limits, (_least_j, most_j), _node in everyones),
                    "measured_j": now["zeus/energy_j"] - first["zeus/energy_j"],
                    "nodes": len({node for _limits, _j, node in everyones}),
                }
            )


def job(config):
    import os

    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from zeus_ray.train.torch_trainer import ZeusCallback

    os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.2"  # not a report every two seconds
    TorchTrainer(
        worker,
        train_loop_config=config,
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(
            num_workers=2,
            use_gpu=True,
            resources_per_worker={"CPU": 1, "GPU": 1, "may_set": 1},
            placement_strategy="STRICT_SPREAD",
        ),
        run_config=RunConfig(callbacks=[ZeusCallback()], storage_path=config["storage"]),
    ).fit()


def worker_on_ray_data(config):
    """Streams its share of 1,010 rows, which has no length; 505 rows and a last batch of 9 per worker."""
    from zeus_ray.train import torch_trainer

    with torch_trainer.session(
        config, batch_size=32, power_limits_w=LIMITS_W, window_s=0.1, settle_s=0.0
    ) as run:
        shard = ray.train.get_dataset_shard("train")
        with pytest.raises(zeus.BadInput, match="iter_torch_batches"):
            next(run.steps(shard))
        for _epoch in range(3):
            rows = 0
            for batch in run.steps(shard.iter_torch_batches(batch_size=run.micro_batch_size, device="cpu")):
                rows += len(batch["id"])
            last = run.report({"rows": sum(torch_trainer.everyones(rows))})
        Path(config["result"]).write_text(f"{last['zeus/epochs']} {last['rows']} {last['zeus/energy_j'] > 0}")


def test_a_pass_over_ray_data_is_an_epoch_of_both_workers(nodes, tmp_path):
    pytest.importorskip("torch")
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from test_cluster import until

    TorchTrainer(
        worker_on_ray_data,
        train_loop_config={"result": str(tmp_path / "result")},
        torch_config=TorchConfig(backend="gloo"),
        datasets={"train": ray.data.range(1_010, override_num_blocks=2)},
        scaling_config=ScalingConfig(
            num_workers=2, use_gpu=True, resources_per_worker={"CPU": 1, "GPU": 1, "may_set": 1}
        ),
        run_config=RunConfig(storage_path=str(tmp_path / "train")),
    ).fit()
    assert (tmp_path / "result").read_text() == "3.0 1010 True"
    assert until(lambda: set(nodes["a"].limits_w + nodes["b"].limits_w) == {300.0})


def search(nodes, tmp_path, does):
    """One trial of the job; every limit must be restored in time afterwards."""
    from test_cluster import until

    searcher = zeus.ZeusSearcher(
        target=Target("accuracy", 1.0),
        default_batch_size=32,
        power_limits_w=LIMITS_W,
        gpus=2,
        batch_sizes=[32],
    )
    result = tune.run(
        job,
        config={"does": does, "storage": str(tmp_path / "train")},
        metric="accuracy",
        mode="max",
        search_alg=searcher,
        scheduler=zeus.EnergyScheduler(searcher, carbon=EmissionsConfig(signal="constant:400")),
        num_samples=1,
        resources_per_trial=zeus.resources(gpus=0),
        storage_path=str(tmp_path / "tune"),
        verbose=0,
    )
    assert until(lambda: set(nodes["a"].limits_w + nodes["b"].limits_w) == {300.0})
    (trial,) = result.trials
    assert trial.status == "TERMINATED"
    assert does == "runs out of memory" or [p.name for p in Path(trial.path).glob("zeus-attempt-*")] == [
        "zeus-attempt-1.json"
    ]
    return trial.last_result, TrialReport.from_result(trial.last_result)


def test_two_workers_on_two_nodes_are_one_run(nodes, tmp_path):
    pytest.importorskip("torch")
    last, report = search(nodes, tmp_path, "learns")
    assert last["nodes"] == 2
    assert 0.99 * last["least_j"] <= last["measured_j"] <= 1.01 * last["most_j"]
    assert last["same_limits"]
    assert set(LIMITS_W) <= set(last["limits_w"])
    assert [point[0] for point in from_json(PowerProfile, report.profile).points] == LIMITS_W
    assert report.stop_reason == StopReason.TARGET_REACHED
    assert report.carbon_g == pytest.approx(report.energy_j / 3.6e6 * 400, rel=1e-3)


def test_a_worker_that_runs_out_of_memory_is_a_result_of_the_trial(nodes, tmp_path):
    pytest.importorskip("torch")
    last, report = search(nodes, tmp_path, "runs out of memory")
    assert report.stop_reason == StopReason.OUT_OF_MEMORY
    assert report.measured_by == "counter"
    assert math.isnan(last["accuracy"])
