"""What the tests of a run share: its plan, its loader, its epochs."""

import math

from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.gpus.protocol import LimitRange
from zeus_ray.leases.lease_and_gpu_status import Lease
from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import Knobs, MeasuredBy, OnlineOptions, Plan, TrialReport
from zeus_ray.training.leased_gpu_group import GpuGroup, LeasedGpu

LIMITS_W = (250.0, 200.0, 150.0, 100.0)
NO_GPU = GpuGroup([])


def leased(*managers, control="auto"):
    holder = HolderProcess.current("trial")
    return GpuGroup([LeasedGpu.local(manager, holder, control) for manager in managers])


def plan(batch_size=100, *, target=None, **knobs):
    return Plan(knobs=Knobs(run_id="1", batch_size=batch_size, **knobs), target=target)


def train(run, epochs, samples=10_000, batch_size=100):
    for _ in range(epochs):
        for _batch in run.steps(Loader(samples, batch_size)):
            pass


def reported(run, **metrics):
    """What the run reports, read back from its flat keys."""
    return TrialReport.from_result(run.report(metrics))


class Loader:
    """A sized loader over a sized dataset, as torch's is."""

    def __init__(self, samples, batch_size):
        self.dataset = range(samples)
        self.batch_size = batch_size

    def __len__(self):
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self):
        for start in range(0, len(self.dataset), self.batch_size):
            yield self.dataset[start : start + self.batch_size]


class ClockedGpu:
    """The lease service of a GPU whose time the test moves: ``work`` is one step of a known load.

    A limit below ``uncapped_w`` slows the load down by (uncapped / limit) to the power ``slope``. ``put_on``
    makes ``time.perf_counter`` its clock, in this thread alone where several threads have one each.
    """

    def __init__(self, *, step_s=0.2, uncapped_w=280.0, slope=0.4, index=0, range_w=(100, 300)):
        self.step_s, self.uncapped_w, self.slope = step_s, uncapped_w, slope
        self.now_s = self.energy_j = 0.0
        self.limit_w, self.set_w, self.refuses, self.readable, self.others_set = 300.0, [], None, True, False
        self.lease = Lease(
            lease_id=str(index),
            uuid=f"GPU-{index}",
            gpu="V100",
            measured_by=MeasuredBy.COUNTER,
            range=LimitRange(min_w=range_w[0], max_w=range_w[1], default_w=range_w[1]),
            original_limit_w=300.0,
            may_set=True,
            why_not="",
            virtual=False,
            reading=self.read(),
        )

    def time_s(self, limit_w):
        return self.step_s * max(1.0, self.uncapped_w / limit_w) ** self.slope

    def power_w(self, limit_w):
        return min(self.uncapped_w, limit_w)

    def cost(self, limit_w, eta=0.5):
        return self.time_s(limit_w) * (eta * self.power_w(limit_w) + (1 - eta) * 300)

    def best_w(self, eta=0.5, limits_w=tuple(range(100, 301, 25))):
        return min(limits_w, key=lambda w: self.cost(w, eta))

    def work(self, steps=1.0):
        self.spend(steps * self.time_s(self.limit_w), self.power_w(self.limit_w))

    def spend(self, seconds, power_w=80.0):
        self.now_s += seconds
        self.energy_j += seconds * power_w

    def read(self, _lease_id=""):
        return Reading(
            energy_j=self.energy_j if self.readable else math.nan,
            time_s=self.now_s,
            power_limit_w=self.limit_w,
            shared=False,
            limit_changed_by_others=self.others_set,
        )

    def set_limit(self, _lease_id, limit_w):
        if self.refuses:
            raise self.refuses
        self.limit_w = limit_w
        self.set_w.append(limit_w)
        return self.read()

    def release(self, _lease_id):
        return self.read()

    def group(self):
        return GpuGroup([LeasedGpu(self, self.lease)])

    def put_on(self, monkeypatch):
        monkeypatch.setattr("time.perf_counter", lambda: self.now_s)
        return self


def own_plan(
    batch_size=32,
    *,
    eta=0.5,
    target=None,
    limits_w=None,
    max_slowdown=None,
    cost_cap=math.inf,
    accumulate=1,
    **online,
):
    """The plan of a run without a search."""
    return Plan(
        knobs=Knobs(
            run_id="",
            batch_size=batch_size,
            probe_limits_w=limits_w,
            cost_cap=cost_cap,
            accumulate=accumulate,
        ),
        eta=1.0 if max_slowdown else eta,
        max_slowdown=max_slowdown,
        target=target,
        online=OnlineOptions(**online),
    )


def step_for(run, gpu, seconds, work=None):
    """``with run.step()`` until so much time has passed; returns the limit of each step."""
    limits, until_s = [], gpu.now_s + seconds
    while gpu.now_s < until_s and not run.stop:
        with run.step():
            limits.append(gpu.limit_w)
            (work or gpu.work)()
    return limits
