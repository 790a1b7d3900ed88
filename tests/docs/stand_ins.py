"""The reader's own training, which the pages do not show: a model that learns by counting its steps."""

from zeus_ray.quantity_format import HOUR_S

SAMPLES = 512
HOURS = 48


def build(batch_size, lr=0.0):
    """A model and a loader of whole batches."""
    return {"lr": lr, "steps": 0}, [([0] * batch_size, [0] * batch_size)] * (SAMPLES // batch_size)


def step(model, x, y):
    """One step."""
    assert len(x) == len(y)
    model["steps"] += 1


def evaluate(model):
    """Accuracy: 1 after a hundred steps."""
    return min(1.0, model["steps"] / 100)


def write_grid(path):
    """A file of carbon intensity of the last two days and the next two: clean now, for three hours."""
    import time
    from pathlib import Path

    this_hour = time.time() // HOUR_S
    rows = (
        f"{(this_hour + h) * HOUR_S:.0f},{100 if 0 <= h < 3 else 400 + 10 * (h % 4)}"
        for h in range(-HOURS, HOURS)
    )
    Path(path).write_text("\n".join(["timestamp,carbon_intensity", *rows]) + "\n")


def start_ray():
    """A Ray of its own, whatever else runs on this machine."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
