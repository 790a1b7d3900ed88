"""A job for the tests: the learning curve is arithmetic, everything around it is real."""

import math

import zeus_ray as zeus
from zeus_ray.records import Measurement, Outcome, PowerProfile, Progress, StopReason, from_json

SIZES = (16, 32, 64, 128, 256)
TARGET = zeus.Target("accuracy", 0.9)
SAMPLES = 4_000
"""Of one epoch."""


def curve(epoch, batch_size):
    """Accuracy after ``epoch`` epochs: batch size 32 learns fastest."""
    return 1 - math.exp(-epoch / (3 + abs(math.log2(batch_size / 32))))


def job(history, **options):
    defaults = {"batch_sizes": SIZES, "default_batch_size": 64, "target": TARGET}
    return zeus.RecurringJob(history, options.pop("job", "nightly"), **{**defaults, **options})


def steep(epoch, batch_size):
    """As :func:`curve`, but other batch sizes take many times as long."""
    return 1 - math.exp(-epoch / (3 + 8 * abs(math.log2(batch_size / 32))))


def train_epoch(run, samples=SAMPLES):
    for _batch in run.steps([None] * (samples // run.batch_size)):
        pass


def train(run, epochs=40, learns=curve, samples=SAMPLES):
    for epoch in range(1, epochs + 1):
        train_epoch(run, samples)
        run.report({"accuracy": learns(epoch, run.batch_size)})
        if run.stop:
            break


def train_both(run, search, knobs):
    """Train ``run`` and tell ``search``, which is in memory, what the event log is told."""
    for epoch in range(1, 41):
        train_epoch(run)
        row = run.report({"accuracy": curve(epoch, run.batch_size)})
        if row["zeus/profile"]:
            search.observe_profile(from_json(PowerProfile, row["zeus/profile"]))
        used = Measurement(energy_j=row["zeus/energy_j"], time_s=row["zeus/time_s"])
        facts = {"knobs": knobs, "metric": row["accuracy"], "measurement": used, "gpu": row["zeus/gpu"]}
        search.should_stop(Progress(epoch=row["zeus/epochs"], **facts))
        if run.stop:
            break
    reached = run.stop == StopReason.TARGET_REACHED
    search.tell(Outcome(reached=reached, epochs=row["zeus/epochs"], stop=run.stop, **facts))
