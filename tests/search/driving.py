"""A simulated training job, and a loop that drives a search against it as the contract says."""

import math
import random

from zeus_ray.records import Measurement, Outcome, PowerProfile, ProfilePoint, Progress, StopReason, Target

TARGET = Target("accuracy", 0.9)
LIMITS_W = (250.0, 200.0, 150.0, 100.0)
SIZES = [16, 32, 64, 128, 256]


def epochs_at(size, best=32):
    return 10.0 + 4 * abs(math.log2(size / best))


def profile_of(size, limits=LIMITS_W, gpu="V100"):
    """Slower and cheaper at a lower limit; a large batch is faster."""
    points = tuple(ProfilePoint(w, 0.9 * w, (8.0 + 200 / size) * (1 + 12 / (w - 60))) for w in limits)
    return PowerProfile(batch_size=size, gpu=gpu, max_power_w=250.0, points=points)


class Work:
    """Runs whatever the search asks. ``fails``: batch sizes that never get there."""

    def __init__(self, *, fails=(), noise=0.1, seed=0, profiles=True):
        self.fails, self.noise, self.profiles = set(fails), noise, profiles
        self.random = random.Random(seed)  # noqa: S311 — noise, no secret

    def run(self, search, knobs):
        """One run, epoch by epoch, told at its end."""
        size = knobs.batch_size
        if self.profiles and knobs.power_limit_w is None:
            search.observe_profile(profile_of(size, knobs.probe_limits_w or LIMITS_W))
        limit_w = search.power_limit_w(size) or 250.0
        _limit_w, power_w, epoch_s = profile_of(size, (limit_w,)).points[0]
        needs = max(1, round(epochs_at(size) * math.exp(self.random.gauss(0, self.noise))))
        for epoch in range(1000):
            reached = size not in self.fails and epoch >= needs
            metric = 0.91 if reached else 0.8 * epoch / (epoch + needs)
            used = Measurement(energy_j=power_w * epoch_s * epoch, time_s=epoch_s * epoch)
            stop = search.should_stop(
                Progress(knobs=knobs, epoch=epoch, metric=metric, measurement=used, gpu="V100")
            )
            if stop or reached:
                break
        reached = stop == StopReason.TARGET_REACHED or reached
        search.tell(
            Outcome(
                knobs=knobs,
                reached=reached,
                epochs=epoch,
                metric=metric,
                measurement=used,
                stop=stop,
                gpu="V100",
            )
        )
        return reached


def outcome(knobs, *, reached=True, epochs=10.0, energy_j=1000.0, time_s=10.0, **more):
    used = Measurement(energy_j=energy_j, time_s=time_s)
    return Outcome(knobs=knobs, reached=reached, epochs=epochs, metric=0.9, measurement=used, **more)
