"""``zeus.session`` in a process without Ray."""

import argparse
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from runs import train

import zeus_ray as zeus
from zeus_ray.errors import BadInput
from zeus_ray.gpus.simulated_gpu import SimulatedGpu
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import Knobs, Plan, PowerProfile, StopReason, TrialReport, from_json
from zeus_ray.search.power_limit import within_slowdown
from zeus_ray.training.leased_gpu_group import GpuGroup, LeasedGpu
from zeus_ray.training.plan_from_config_or_arguments import plan_from_config


@pytest.fixture
def simulated(state_dir, monkeypatch):  # noqa: ARG001 — which unsets the variable first
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")


@pytest.mark.processes
def test_a_session_outside_ray_imports_neither_ray_nor_torch():
    code = (
        "import sys, zeus_ray as zeus\n"
        "with zeus.session(batch_size=8, power_limits_w=()) as run:\n"
        "    list(run.steps([None] * 10)), run.report({})\n"
        "print(*sys.modules)"
    )
    env = {**os.environ, "ZEUS_RAY_GPU": "simulated"}
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert not {"ray", "torch", "pyarrow"} & set(ran.stdout.split())


@pytest.mark.usefixtures("simulated")
def test_a_run_of_several_gpus_shares_the_work():
    used = {}
    for gpus in (1, 2):
        with zeus.session(batch_size=100, power_limit_w=150.0, gpus=gpus) as run:
            train(run, 2)
            used[gpus] = run.report({})
    assert used[2]["zeus/power_limit_w"] == 150.0
    assert used[2]["zeus/time_s"] < used[1]["zeus/time_s"]


@pytest.mark.usefixtures("simulated")
def test_a_batch_size_that_does_not_fit_is_a_result_only_with_a_target(caplog):
    def outgrows():
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with zeus.session(batch_size=100, target=zeus.Target("accuracy", 0.9)) as run:
        outgrows()
    assert run.stop == StopReason.OUT_OF_MEMORY
    assert "batch size 100 does not fit" in caplog.text
    with pytest.raises(RuntimeError, match="Tried to allocate"), zeus.session(batch_size=100):
        outgrows()


@pytest.mark.usefixtures("simulated")
def test_what_is_lost_is_said_at_the_start_and_what_it_cost_at_the_end(caplog, monkeypatch):
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "off")
    with caplog.at_level(logging.WARNING), zeus.session(batch_size=100):
        assert "power control is off" in caplog.text
    assert "no power profile of batch size 100" in caplog.text


def test_a_gpu_that_cannot_be_leased_releases_those_before_it(tmp_path):
    manager = LeaseManager(SimulatedGpu.open("V100", 0), state_dir=tmp_path, watchdog=False)

    def gpus():
        yield LeasedGpu.local(manager, HolderProcess.current("trial"))
        raise BadInput("the second is gone")

    with pytest.raises(BadInput, match="the second is gone"):
        GpuGroup.lease_all(gpus())
    assert manager.idle


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        ({}, {}, "batch size is None"),
        ({"batch_size": 0}, {}, "batch size is 0"),
        ({"batch_size": 8}, {"eta": 1.5}, "eta is 1.5; allowed: 0"),
        ({"batch_size": True}, {}, "batch size is True"),
        ({"batch_size": 8}, {"accumulate": 2.0}, "accumulate is 2.0"),
        (argparse.Namespace(batch_size=8), {}, r"config is a Namespace; allowed: .*vars\(arguments\)"),
    ],
)
def test_impossible_arguments_are_refused_with_what_is_allowed(config, options, words):
    with pytest.raises(BadInput, match=words):
        zeus.session(config, **options)


@pytest.mark.parametrize("size", [np.int64(32), np.uint8(32)])
def test_whole_numbers_of_numpy_are_batch_sizes(size):
    plan = plan_from_config({"batch_size": size}, accumulate=np.int32(4))
    assert (plan.knobs.batch_size, plan.knobs.accumulate) == (32, 4)
    assert type(plan.knobs.batch_size) is type(plan.knobs.accumulate) is int


@pytest.mark.usefixtures("simulated")
def test_a_session_within_a_session_is_refused_and_one_after_another_is_not():
    with zeus.session(batch_size=100, power_limits_w=()) as run:
        with pytest.raises(BadInput, match="a session is open here already"), zeus.session(batch_size=100):
            pass
        train(run, 2)
        first = run.report({})
    with zeus.session(batch_size=100, power_limits_w=()) as run:
        train(run, 2)
        assert run.report({})["zeus/energy_j"] == pytest.approx(first["zeus/energy_j"])
    for _ in range(2):
        with pytest.raises(ValueError, match="of the loop"), zeus.session(batch_size=100):
            raise ValueError("of the loop")


FORKED = """
import os
import zeus_ray as zeus
with zeus.session(batch_size=100, power_limits_w=()) as run:
    child = os.fork()
    if not child:
        with zeus.session(batch_size=100, power_limits_w=()) as mine:
            for _ in mine.steps([None] * 2):
                pass
            os._exit(0 if mine.report({})["zeus/epochs"] == 1 else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.processes
def test_a_forked_child_of_a_session_may_have_its_own():
    simulated = {**os.environ, "ZEUS_RAY_GPU": "simulated:V100"}
    command = [sys.executable, "-c", FORKED]
    ran = subprocess.run(command, env=simulated, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.usefixtures("simulated")
def test_threads_have_sessions_of_their_own():
    def trained(_number):
        with zeus.session(batch_size=100, power_limits_w=()) as run:
            both.wait()
            train(run, 2)
            return run.report({})["zeus/epochs"]

    both = threading.Barrier(2, timeout=30)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(trained, range(2))) == [2, 2]


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize(
    "late",
    [
        lambda run: run.report({}),
        lambda run: run.measure({}),
        lambda run: next(run.steps([None])),
        lambda run: run.step().__enter__(),
    ],
)
def test_after_its_end_a_session_refuses_what_it_would_not_measure(late):
    with zeus.session(batch_size=100, power_limits_w=()) as run:
        train(run, 2)
        run.report({})
    with pytest.raises(BadInput, match="the session has ended"):
        late(run)
    assert run.last_report.epochs == 2


def test_the_plan_of_a_search_comes_before_the_arguments():
    planned = Plan(knobs=Knobs(run_id="7", batch_size=32))
    assert plan_from_config({"zeus": planned.to_config(), "batch_size": 8}, batch_size=16) == planned


def test_without_a_plan_the_driver_says_the_target_and_what_energy_emits():
    carried = {"target": {"metric": "accuracy", "value": 0.9, "mode": "max"}, "emissions": {"signal": "uk"}}
    plan = plan_from_config({"zeus": carried, "batch_size": 8}, power_limits_w=[200])
    assert plan.target == zeus.Target("accuracy", 0.9)
    assert plan.emissions == zeus.EmissionsConfig(signal="uk")
    assert plan.knobs == Knobs(run_id="", batch_size=8, probe_limits_w=(200.0,))


@pytest.mark.slow
@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("bound", [1.0, 1.05, 1.2])
def test_a_bound_on_time_finds_the_least_energy_within_it(bound):
    limits_w = (100.0, 150.0, 200.0, 250.0)
    with zeus.session(batch_size=100, power_limits_w=limits_w, max_slowdown=bound, window_s=1.0) as run:
        train(run, 3)
        report = TrialReport.from_result(run.report({}))
    measured = from_json(PowerProfile, report.profile)
    assert run.plan.eta == 1.0
    within = within_slowdown(measured, bound)
    least_j = min(point.average_power_w * point.time_per_epoch_s for point in within.points)
    (held,) = (point for point in measured.points if point.power_limit_w == report.power_limit_w)
    assert held.average_power_w * held.time_per_epoch_s <= 1.001 * least_j
    assert report.slowdown <= bound + 0.01  # a slower limit is held in turn with a faster one
    with pytest.raises(BadInput, match=r"max_slowdown is 0\.5"):
        zeus.session(batch_size=100, max_slowdown=0.5)
