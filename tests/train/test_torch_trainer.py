"""Ray Train's session without a cluster; with one it is tested in tests/actors/test_train.py."""

import pickle
import subprocess
import sys

import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("torch")
pytest.importorskip("ray.train")

from zeus_ray.errors import BadInput, DoesNotFit  # noqa: E402 — after the check that it is there
from zeus_ray.train import torch_trainer  # noqa: E402
from zeus_ray.train.refuse_returned_fit_result import refuse_returned_fit, returns_fit  # noqa: E402

Trainer = object  # stands for TorchTrainer in functions that are looked at, and not called


def test_outside_a_worker_the_error_names_zeus_ray_session():
    with pytest.raises(BadInput, match=r"zeus_ray\.session"), torch_trainer.session(batch_size=8):
        pass


def test_the_report_of_a_batch_size_that_does_not_fit_survives_pickling():
    error = pickle.loads(pickle.dumps(DoesNotFit("batch size 8 does not fit", {"zeus/batch_size": 8})))  # noqa: S301 — our own
    assert str(error) == "batch size 8 does not fit"
    assert error.result == {"zeus/batch_size": 8}


def returns_at_once(config):
    return Trainer(config).fit()


def returns_a_variable(config):
    trainer = Trainer(config)
    result = trainer.fit()
    trainer.close()
    return result


def returns_in_a_branch(config):
    if config:
        return Trainer(config, callbacks=[1]).fit(1)
    return None


def returns_nothing(config):
    Trainer(config).fit()


def returns_metrics(config):
    result = Trainer(config).fit()
    return {"accuracy": result.metrics["accuracy"]}


def fits_something_else(config):
    model = Trainer(config)
    model.fit()
    return model.score


@pytest.mark.parametrize(
    ("function", "refused"),
    [
        (returns_at_once, True),
        (returns_a_variable, True),
        (returns_in_a_branch, True),
        (returns_nothing, False),
        (returns_metrics, False),
        (fits_something_else, False),
    ],
)
def test_a_function_that_returns_the_result_of_fit_is_refused_before_it_trains(function, refused):
    assert returns_fit(function.__code__) == refused
    if refused:
        with pytest.raises(BadInput, match=f"{function.__name__} returns the Result of .fit"):
            refuse_returned_fit(function.__code__)


RANK = """
import sys
import torch.distributed
from zeus_ray.train.torch_trainer import RayTrainRun, everyones
from zeus_ray.training.gpu_group_over_ranks import DistributedGpuGroup
from zeus_ray.training.session import RunContext, open_session, plan_from_config

class Worker(RunContext):
    def lease(self, plan, gpus):
        return DistributedGpuGroup(super().lease(plan, gpus), everyones)

folder, rank = sys.argv[1:]
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meeting", rank=int(rank), world_size=2
)
config = {"batch_size": 32, "zeus": {"power_control": "off"}}
with open_session(plan_from_config(config), Worker(run_type=RayTrainRun)) as run:
    for _ in run.steps([None] * 20):
        pass
    run.measure({"accuracy": 0.5})
torch.distributed.destroy_process_group()
"""


@pytest.mark.processes
def test_of_several_workers_the_first_one_says_what_a_limit_would_have_saved(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    command = [sys.executable, "-c", RANK, str(tmp_path)]
    workers = [
        subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(2)
    ]
    first, second = (worker.communicate(timeout=120)[1] for worker in workers)
    assert [worker.returncode for worker in workers] == [0, 0], first + second
    assert first.count("no power profile of batch size 32") == 1
    assert "zeus-ray" not in second
