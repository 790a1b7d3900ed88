"""Real Ray, real actors, the real NVML binding over a fake NVML library."""

import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]
tune = pytest.importorskip("ray.tune")

import migrated_trial  # noqa: E402 — likewise
import migration_checks  # noqa: E402 — from tests/faults
import ray  # noqa: E402 — after the marker: importing it takes seconds

import zeus_ray as zeus  # noqa: E402
from zeus_ray.actors import NAMESPACE  # noqa: E402
from zeus_ray.actors import examine_or_restore_all_nodes as inventory  # noqa: E402
from zeus_ray.leases.doctor import Health, examine, unexamined  # noqa: E402
from zeus_ray.records import EmissionsConfig, PowerProfile, Target, TrialReport, to_json  # noqa: E402

for module in (sys.modules[__name__], migrated_trial):  # workers cannot import the tests
    ray.cloudpickle.register_pickle_by_value(module)
LIMITS_W = [120.0, 160.0, 200.0, 240.0]
BEGAN_S = 1_640_995_200  # 2022


def until(condition, seconds=10.0):
    """Wait until another process has made it true; ``seconds`` is what is promised."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@ray.remote(num_cpus=0)
class Gate:
    """Opens when ``size`` trials have arrived."""

    def __init__(self, size):
        self.size, self.there = size, set()

    def arrive(self, who):
        self.there.add(who)
        return len(self.there) >= self.size


def at_one_limit(config):
    import time

    with zeus.session(config, power_limit_w=config["power_limit_w"]) as run:
        gate = ray.get_actor("gate", namespace=config["namespace"])
        while not ray.get(gate.arrive.remote(config["power_limit_w"])):
            time.sleep(0.02)
        before = run.measure({})
        began = time.monotonic()
        while time.monotonic() - began < 1.0:
            pass
        after = run.measure({})
        run.report(
            {
                "accuracy": 1.0,
                "power_w": (after["zeus/energy_j"] - before["zeus/energy_j"])
                / (after["zeus/time_s"] - before["zeus/time_s"]),
                "gpu_id": ray.get_runtime_context().get_accelerator_ids()["GPU"][0],
                "node": ray.get_runtime_context().get_node_id(),
            }
        )


def learns(config):
    with zeus.session(config, window_s=0.05, settle_s=0.0) as run:
        for epoch in range(1, 6):
            for _batch in run.steps([None] * 2000):
                sum(range(1000))
            run.report({"accuracy": epoch / 5})


def test_four_gpus_at_once_each_with_its_own_limit_and_energy(nodes, tmp_path):
    namespace = ray.get_runtime_context().namespace
    gate = Gate.options(name="gate").remote(len(LIMITS_W))
    ray.get(gate.__ray_ready__.remote())
    result = tune.run(
        at_one_limit,
        config={
            "batch_size": 32,
            "power_limit_w": tune.grid_search(LIMITS_W),
            "namespace": namespace,
        },
        resources_per_trial={"cpu": 1, "gpu": 1, "custom_resources": {"may_set": 1}},
        storage_path=str(tmp_path),
        verbose=0,
    )
    rows = [trial.last_result for trial in result.trials]
    assert len({(row["node"], row["gpu_id"]) for row in rows}) == 4
    for row in rows:
        limit_w = row["config"]["power_limit_w"]
        assert row["zeus/power_limit_w"] == limit_w
        assert row["zeus/measured_by"] == "counter"
        assert row["power_w"] == pytest.approx(limit_w, rel=0.1)
    assert until(lambda: set(nodes["a"].limits_w + nodes["b"].limits_w) == {300.0})


def test_a_search_over_two_nodes_profiles_and_restores_every_limit(nodes, tmp_path):
    searcher = zeus.ZeusSearcher(
        target=Target("accuracy", 1.0), default_batch_size=32, power_limits_w=[250, 150, 100]
    )
    result = tune.run(
        learns,
        config={"batch_size": tune.choice([16, 32, 64])},
        metric="accuracy",
        mode="max",
        search_alg=searcher,
        scheduler=zeus.EnergyScheduler(searcher),
        num_samples=6,
        resources_per_trial=zeus.resources(),
        storage_path=str(tmp_path),
        verbose=0,
    )
    reports = [TrialReport.from_result(trial.last_result) for trial in result.trials]
    assert any(report.profile for report in reports)
    assert until(lambda: set(nodes["a"].limits_w + nodes["b"].limits_w) == {300.0})


@pytest.mark.parametrize("who", ["driver", "trial", "node"])
def test_off_in_any_of_three_places_writes_no_limit(nodes, tmp_path, monkeypatch, who):
    def train(config):
        if config["who"] == "trial":
            os.environ["ZEUS_RAY_POWER_CONTROL"] = "off"
        learns(config)

    if who == "driver":
        monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "off")
    before = {name: node.attempts for name, node in nodes.items()}
    searcher = zeus.ZeusSearcher(target=Target("accuracy", 1.0), default_batch_size=32)
    node = "c" if who == "node" else "a"
    result = tune.run(
        train,
        config={"batch_size": tune.choice([16, 32]), "who": who},
        metric="accuracy",
        mode="max",
        search_alg=searcher,
        scheduler=zeus.EnergyScheduler(searcher),
        num_samples=2,
        resources_per_trial={"cpu": 1, "gpu": 1, "custom_resources": {f"node_{node}": 1}},
        storage_path=str(tmp_path),
        verbose=0,
    )
    reports = [TrialReport.from_result(trial.last_result) for trial in result.trials]
    assert all(report.energy_j > 0 and report.power_limit_w == 300.0 for report in reports)
    assert {name: node.attempts for name, node in nodes.items()} == before


def test_the_limit_of_a_trial_that_was_killed_is_restored(nodes):
    @ray.remote(num_gpus=1, resources={"node_a": 1})
    def hold():
        from zeus_ray.actors.lease_gpus_through_actors import lease_gpus
        from zeus_ray.leases.process import HolderProcess

        given = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        holder = HolderProcess.current("killed")
        leased = lease_gpus(holder, source="nvml", control="auto", given=given)
        leased.set_limit(130.0)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ray.exceptions.RayError):
        ray.get(hold.options(max_retries=0).remote())
    assert until(lambda: set(nodes["a"].limits_w) == {300.0})
    assert nodes["a"].attempts > 0


def test_a_limit_goes_on_following_the_signal_after_its_actor_was_killed(nodes, tmp_path):
    grid, name, done = (tmp_path / what for what in ("grid.csv", "name", "done"))
    rows = [f"{BEGAN_S + 3600 * h},{800 if h % 2 else 50}" for h in range(480)]
    grid.write_text("\n".join(["timestamp,carbon_intensity", *rows]))
    fast = (time.time(), BEGAN_S, 3600.0)  # a second is an hour in the signal
    emissions = EmissionsConfig(signal=f"csv:{grid}", eta=0.8, every_s=3600.0, clock=fast)
    points = ((250, 240, 10.0), (200, 190, 10.8), (150, 143, 12.5), (100, 95, 18.0))
    profile = PowerProfile(batch_size=32, gpu="V100", max_power_w=250, points=points)

    @ray.remote(num_gpus=1, resources={"node_a": 1}, max_retries=0)
    def trial():
        from zeus_ray.actors.lease_gpus_through_actors import lease_gpus
        from zeus_ray.leases.process import HolderProcess

        given = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        holder, asks = HolderProcess.current("chase"), {"source": "nvml", "control": "auto", "given": given}
        leased = lease_gpus(holder, emissions=to_json(emissions), **asks)
        leased.follow(profile)
        name.write_text(leased.held[0][0])
        assert until(done.exists, 90)
        leased.release()

    def limits_seen(seen):
        seen.update(limit_w for limit_w in nodes["a"].limits_w if limit_w != 300.0)
        return len(seen) == 2

    running, before, after = trial.remote(), set(), set()
    assert until(lambda: limits_seen(before), 30)
    assert until(name.exists)
    actor = ray.get_actor(name.read_text(), namespace=NAMESPACE)
    process = psutil.Process(ray.get(actor.__ray_call__.remote(lambda _self: os.getpid())))
    process.kill()
    process.wait(10)
    assert until(lambda: limits_seen(after), 30)
    assert after == before
    done.touch()
    ray.get(running)
    assert until(lambda: set(nodes["a"].limits_w) == {300.0})


def test_through_pause_move_kill_and_retry_every_limit_is_restored_and_all_energy_counted(nodes, tmp_path):
    for name, index in itertools.product("ab", range(2)):
        nodes[name].load(migration_checks.LOAD, index)
    watch = migration_checks.LimitWatch(nodes)
    result = migrated_trial.search(tmp_path, 150.0)
    assert until(lambda: set(nodes["a"].limits_w + nodes["b"].limits_w) == {300.0})
    migration_checks.check_migration(tmp_path, watch.end(), result, limit_w=150.0, original_w=300.0)
    for name, index in itertools.product("ab", range(2)):
        nodes[name].load(1.0, index)


@ray.remote(num_cpus=0)
class Bare:
    def pid(self):
        return os.getpid()


def listening(process):
    connections = getattr(process, "net_connections", None) or process.connections  # psutil < 6
    return [one for one in connections(kind="inet") if one.status == psutil.CONN_LISTEN]


def test_gpu_actors_listen_on_no_more_ports_than_any_ray_actor():
    bare = Bare.remote()
    pid = ray.get(bare.pid.remote())
    ours = [p for p in psutil.Process().children(recursive=True) if "GpuActor" in " ".join(p.cmdline())]
    assert ours  # of the tests before: they end after a minute
    for process in ours:
        assert len(listening(process)) == len(listening(psutil.Process(pid))), process


def test_a_lost_gpu_fails_its_trial_and_no_other(nodes, tmp_path):
    def train(config):
        with zeus.session(config, power_limit_w=150.0) as run:
            while not (tmp_path / "lost").exists():
                time.sleep(0.02)
            for _ in range(3):
                run.report({"accuracy": 1.0})

    def lose_one():
        until(lambda: nodes["a"].limits_w == [150.0, 150.0], 60)
        nodes["a"].gpus[0].lost = 1
        (tmp_path / "lost").touch()

    threading.Thread(target=lose_one, daemon=True).start()
    result = tune.run(
        train,
        config={"batch_size": 8, "copy": tune.grid_search([0, 1])},
        resources_per_trial={"cpu": 1, "gpu": 1, "custom_resources": {"node_a": 1}},
        storage_path=str(tmp_path),
        raise_on_failed_trial=False,
        time_budget_s=120,
        verbose=0,
    )
    failed = [trial for trial in result.trials if trial.status == "ERROR"]
    assert len(failed) == 1
    assert "DeviceLost" in Path(failed[0].error_file).read_text()
    nodes["a"].gpus[0].lost = 0
    assert until(lambda: nodes["a"].limits_w == [300.0, 300.0])


def test_doctor_and_restore_ask_every_node_even_if_one_fails():
    def healths():
        return sorted(report.health.name for report in inventory.examine_all().values())

    # The GPU that was lost a moment ago has its limit again; its journal may be there for a moment more.
    assert until(lambda: healths() == ["LIMITED", "OK", "OK"])
    reports = inventory.examine_all()
    off = next(report for report in reports.values() if report.health is Health.LIMITED)
    assert (off.power_control, [gpu.may_set for gpu in off.gpus]) == ("off", [None])
    assert all(report.driver == "580.00.fake" for report in reports.values())

    def fails_on_one():
        if os.environ["FAKE_NVML_NODE"] == "b":
            raise ModuleNotFoundError("No module named 'zeus_ray'")
        return "fine"

    answers = inventory._ask_all(inventory._living(), fails_on_one, unexamined)
    assert sorted(map(str, answers.values()))[1:] == ["fine", "fine"]
    failed = next(answer for answer in answers.values() if answer != "fine")
    assert failed.health is Health.BROKEN
    assert "No module named 'zeus_ray'" in failed.problems[0]

    here = examine()  # no driver in this process
    assert inventory._as_counted(here, {"Resources": {"GPU": 1.0}}).health is Health.BROKEN
    assert inventory._as_counted(here, {"Resources": {"CPU": 1.0}}).health is Health.OK
    assert inventory._as_counted(failed, {"Resources": {}}).health is Health.BROKEN

    restored = inventory.restore_everywhere()
    assert sorted(restored) == sorted(reports)
    assert all(one.done for answer in restored.values() for one in answer)


def test_a_trial_without_a_gpu_on_a_gpu_cluster_is_refused_before_it_runs(tmp_path):
    searcher = zeus.ZeusSearcher(target=Target("accuracy", 1.0), default_batch_size=32)
    with pytest.raises(Exception, match="ask for no GPU"):
        tune.run(
            learns,
            config={"batch_size": tune.choice([16, 32])},
            metric="accuracy",
            mode="max",
            search_alg=searcher,
            scheduler=zeus.EnergyScheduler(searcher),
            storage_path=str(tmp_path),
            verbose=0,
        )
