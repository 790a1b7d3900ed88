"""The GPUs of several processes as one group: each process is a thread, and gathers at a barrier."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from zeus_ray.errors import DeviceLost
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.gpus.protocol import LimitRange
from zeus_ray.gpus.simulated_gpu import SimulatedGpu
from zeus_ray.leases.lease_and_gpu_status import Lease
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import Knobs, MeasuredBy, Plan, PowerProfile, TrialReport, from_json, to_json
from zeus_ray.training.gpu_group_over_ranks import DistributedGpuGroup
from zeus_ray.training.leased_gpu_group import GpuGroup, LeasedGpu
from zeus_ray.training.training_run import TrainingRun

LIMITS_W = (250.0, 150.0, 100.0)
WINDOW_S, SETTLE_S = 1.0, 0.2


class Threads:
    """``gather`` for threads."""

    def __init__(self, size):
        self.values, self.barrier = [None] * size, threading.Barrier(size, timeout=10)

    def gather_of(self, rank):
        def gather(value):
            self.values[rank] = value
            self.barrier.wait()
            everyones = list(self.values)
            self.barrier.wait()
            return everyones

        return gather


class GpuWithOwnClock:
    """The lease service of a real GPU in one process; the clocks of two processes differ."""

    def __init__(self, rank, fails_at=None):
        self.now_s, self.limit_w, self.rank, self.fails_at = 100.0 * rank, 300.0, rank, fails_at
        self.energy_j = 0.0
        self.sets = []
        self.lease = Lease(
            lease_id=str(rank),
            uuid=f"GPU-{rank}",
            gpu="V100",
            measured_by=MeasuredBy.COUNTER,
            range=LimitRange(min_w=100, max_w=300, default_w=300),
            original_limit_w=300.0,
            may_set=True,
            why_not="",
            virtual=False,
            reading=self.read(),
        )

    def read(self, _lease_id=""):
        return Reading(
            energy_j=self.energy_j,
            time_s=self.now_s,
            power_limit_w=self.limit_w,
            shared=False,
        )

    def work(self, step):
        """The first steps are slow, a lower limit is slower, and no two GPUs are equal."""
        warm = 20.0 if step < 2 else 1.0
        took_s = 0.01 * warm * (1 + 0.1 * self.rank) * (300 / self.limit_w) ** 0.5
        self.now_s += took_s
        self.energy_j += 0.9 * self.limit_w * took_s
        return took_s

    def set_limit(self, _lease_id, limit_w):
        self.sets.append(limit_w)
        if len(self.sets) == self.fails_at:
            raise DeviceLost("fell off the bus")
        self.limit_w = limit_w
        return self.read()

    def group(self, gather, actor=""):
        return DistributedGpuGroup(GpuGroup([LeasedGpu(self, self.lease, actor)]), gather)


def together(size, work):
    threads = Threads(size)
    with ThreadPoolExecutor(size) as pool:
        return [
            f.result() for f in [pool.submit(work, rank, threads.gather_of(rank)) for rank in range(size)]
        ]


def profiled(rank, gather, steps=4_000, **options):
    """A run of this rank: the limit in every step, its last report, and the profile's time at each limit."""
    gpu = GpuWithOwnClock(rank, **options)
    plan = Plan(knobs=Knobs(run_id="1", batch_size=32, probe_limits_w=LIMITS_W))
    run = TrainingRun(plan, gpu.group(gather), window_s=WINDOW_S, settle_s=SETTLE_S)
    limits, spent_s = [], dict.fromkeys(LIMITS_W, 0.0)
    for _epoch in range(4):
        for step in run.steps(range(steps // 4)):
            limits.append(gpu.limit_w)
            took_s = gpu.work(step)
            if gpu.limit_w == LIMITS_W[-1] or LIMITS_W[-1] not in limits:  # until the profile is complete
                spent_s[gpu.limit_w] += took_s
    return limits, run.report({}), spent_s


def test_every_process_is_at_the_same_limit_in_the_same_steps():
    (limits, report, _spent_s), *others = together(3, profiled)
    for theirs, same, _spent_s in others:
        assert theirs == limits
        assert repr(same) == repr(report)  # NaN included
    assert list(dict.fromkeys(limits))[: len(LIMITS_W)] == list(LIMITS_W)


def test_windows_last_as_long_as_asked_though_the_first_steps_are_slow():
    _limits, report, spent_s = together(2, profiled)[1]
    profile = from_json(PowerProfile, report["zeus/profile"])
    assert [point.power_limit_w for point in profile.points] == list(LIMITS_W)
    warm_up_s = 0.01 * 1.1 * 1.1 * (2 * 20 + 3)  # steps of the second process
    assert WINDOW_S * 0.95 <= spent_s[250.0] - warm_up_s - SETTLE_S <= WINDOW_S * 1.5
    assert WINDOW_S * 0.95 <= spent_s[100.0] - SETTLE_S <= WINDOW_S * 1.5


def test_energy_is_summed_and_time_is_the_longest():
    def read(rank, gather):
        return GpuWithOwnClock(rank).group(gather).read()

    first, second = together(2, read)
    assert to_json(first) == to_json(second)
    assert first.energy_j == math.fsum(GpuWithOwnClock(rank).read().energy_j for rank in range(2))
    assert first.time_s == GpuWithOwnClock(1).read().time_s


def test_the_attempt_log_knows_the_leases_of_all_processes():
    def held(rank, gather):
        return GpuWithOwnClock(rank).group(gather, f"actor-{rank}").held

    assert together(2, held) == [(("actor-0", "0"), ("actor-1", "1"))] * 2


def test_an_error_in_one_process_is_raised_in_all():
    def lose(rank, gather):
        with pytest.raises(DeviceLost, match="bus"):
            profiled(rank, gather, fails_at=2 if rank == 1 else None)

    together(2, lose)


def test_simulated_gpus_share_the_work(tmp_path):
    def train(rank, gather):
        manager = LeaseManager(
            SimulatedGpu.open("V100", rank), state_dir=tmp_path / str(rank), watchdog=False
        )
        mine = GpuGroup([LeasedGpu.local(manager, HolderProcess.current("trial"))])
        run = TrainingRun(Plan(knobs=Knobs(run_id="1", batch_size=64)), DistributedGpuGroup(mine, gather))
        for _batch in run.steps([None] * 100):
            pass
        report = TrialReport.from_result(run.report({}))
        mine.release()
        manager.close()
        return report

    first, second = together(2, train)
    alone = together(1, train)[0]
    assert to_json(first) == to_json(second)
    assert first.time_s < alone.time_s
    assert first.energy_j > alone.energy_j / 2
