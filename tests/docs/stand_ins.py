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
    """A file of carbon intensity of the last day and the next one."""
    import time
    from pathlib import Path

    first_s = (time.time() // HOUR_S - HOURS / 2) * HOUR_S
    rows = (f"{first_s + hour * HOUR_S:.0f},{300 + 50 * (hour % 4)}" for hour in range(HOURS))
    Path(path).write_text("\n".join(["timestamp,carbon_intensity", *rows]) + "\n")


def start_ray():
    """A Ray of its own, whatever else runs on this machine."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
