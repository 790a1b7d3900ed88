"""Trials whose energy, time and learning curve are arithmetic: the truth of every case is known."""

import math
from typing import ClassVar

from ray import tune

from zeus_ray.records import Plan, PowerProfile, StopReason, Target, TrialReport, read_metric, to_json
from zeus_ray.search.power_limit import optimal_limit_w
from zeus_ray.tune.config_paths import entry_at

SIZES = [16, 32, 64, 128]
LIMITS_W = (250.0, 175.0, 100.0)
TARGET = Target("accuracy", 0.9)


def epochs_to_target(size):
    """Batch size 32 needs ten epochs; each doubling or halving three more."""
    return 10 + 3 * abs(math.log2(size / 32))


def accuracy(epoch, size):
    return min(0.99, 0.9 * epoch / epochs_to_target(size))


def epoch_energy_j(size, limit_w):
    return (300 + 2.0 * size) * (0.5 + limit_w / 500)


def epoch_time_s(size, limit_w):
    return (10 + 400 / size) * (0.8 + 50 / limit_w)


def profile_of(size):
    points = tuple(
        (w, epoch_energy_j(size, w) / epoch_time_s(size, w), epoch_time_s(size, w)) for w in LIMITS_W
    )
    return PowerProfile(batch_size=size, gpu="V100", max_power_w=250.0, points=points)


class Job(tune.Trainable):
    """Reports once an epoch, as a session does; trains with the size at ``SIZE_KEY`` of its config."""

    SIZE_KEY = "batch_size"
    METERED = True
    EPOCHS = 60
    CHANGED: ClassVar = {}

    def setup(self, config):
        self.config_given = config
        self.size = entry_at(config, self.SIZE_KEY)
        self.plan = Plan.from_config(config["zeus"]) if self.METERED and "zeus" in config else None
        self.epoch, self.cost_to_target, self.attempt = 0, math.nan, 1

    def reset_config(self, new_config):
        self.setup(new_config)
        return True

    def metric(self):
        return {"accuracy": accuracy(self.epoch, self.size)}

    def step(self):
        self.epoch += 1
        result = self.metric()
        if self.epoch >= self.EPOCHS:
            result["done"] = True
        return {**result, **self.keys(result), **self.CHANGED}

    def keys(self, result):
        if self.plan is None:
            return {}
        knobs = self.plan.knobs
        limit_w = knobs.power_limit_w or LIMITS_W[1]  # the one that is set
        if knobs.power_limit_w is None and knobs.probe_limits_w != ():  # a profile, then the best of it
            limit_w = optimal_limit_w(profile_of(self.size), eta=self.plan.eta)
        energy_j = self.epoch * epoch_energy_j(self.size, limit_w)
        time_s = self.epoch * epoch_time_s(self.size, limit_w)
        cost = self.plan.eta * energy_j + (1 - self.plan.eta) * 250.0 * time_s
        target = self.plan.target
        reached = target is not None and target.reached(read_metric(result, target.metric))
        if reached and math.isnan(self.cost_to_target):
            self.cost_to_target = cost
        known = not math.isnan(self.cost_to_target)
        stop = StopReason.TARGET_REACHED.value if known else ""
        if self.epoch >= self.plan.max_epochs:
            stop = stop or StopReason.MAX_EPOCHS.value
        report = TrialReport(
            run_id=knobs.run_id,
            batch_size=self.size,
            epochs=float(self.epoch),
            energy_j=energy_j,
            time_s=time_s,
            average_power_w=energy_j / time_s,
            power_limit_w=limit_w,
            cost=cost,
            cost_to_target=self.cost_to_target,
            target_reached=known,
            stop_reason=stop,
            gpu="V100",
            attempt=self.attempt,
            measured_by="counter",
            profile=to_json(profile_of(self.size)),
        )
        return {**report.to_result(), **({"done": True} if stop else {})}

    def save_checkpoint(self, checkpoint_dir):  # noqa: ARG002 — as Ray's
        return {"epoch": self.epoch}

    def load_checkpoint(self, checkpoint):
        self.epoch = checkpoint["epoch"]
        self.attempt += 1


class Unmetered(Job):
    METERED = False


def sizes_of(result):
    """The batch sizes of an experiment, in the order in which its trials were made."""
    return [entry_at(trial.config, "batch_size") for trial in result.trials]
