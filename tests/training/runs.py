"""What the tests of a run share: its plan, its loader, its epochs."""

import math

from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import Knobs, Plan, TrialReport
from zeus_ray.training.gpu_group import GpuGroup, LeasedGpu

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
