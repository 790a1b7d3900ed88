"""Training functions for the tests: the learning curve is arithmetic, everything around it is real."""

import math


def curve(epoch, batch_size):
    """Accuracy after ``epoch`` epochs: batch size 32 learns fastest."""
    return 1 - math.exp(-epoch / (3 + abs(math.log2(batch_size / 32))))


def with_session(config):
    import zeus_ray as zeus

    with zeus.session(config) as run:
        for epoch in range(1, 31):
            for _batch in run.steps([None] * max(1, 20_000 // config["batch_size"])):
                pass
            run.report({"accuracy": curve(epoch, config["batch_size"])})


def unmodified(config):
    from ray import tune

    for epoch in range(1, 31):
        tune.report({"accuracy": curve(epoch, config["batch_size"])})


def returns_a_dict(config):
    return {"accuracy": curve(10, config["batch_size"])}


def sometimes_raises(config):
    import zeus_ray as zeus

    with zeus.session(config) as run:
        for epoch in range(1, 31):
            for _batch in run.steps([None] * 10):
                pass
            if config["batch_size"] == 16:
                raise RuntimeError("this batch size never works")
            run.report({"accuracy": curve(epoch, config["batch_size"])})


def runs_out_of_memory(config):
    import torch

    import zeus_ray as zeus

    with zeus.session(config) as run:
        for epoch in range(1, 31):
            for _batch in run.steps([None] * 100):
                if config["batch_size"] > 64:
                    raise torch.OutOfMemoryError("tried to allocate 80 GiB")
            run.report({"accuracy": curve(epoch, config["batch_size"])})


def metric_is_sometimes_nan(config):
    import zeus_ray as zeus

    with zeus.session(config) as run:
        for epoch in range(1, 31):
            for _batch in run.steps([None] * 100):
                pass
            value = math.nan if config["batch_size"] == 16 else curve(epoch, config["batch_size"])
            run.report({"accuracy": value})


def on_no_gpu(config):
    import os

    os.environ["ZEUS_RAY_GPU"] = "nvml"  # which does not answer here
    with_session(config)


def fails_once_then_never_learns(config):
    from pathlib import Path

    import zeus_ray as zeus

    with zeus.session(config) as run:
        for epoch in range(1, 31):
            for _batch in run.steps([None] * (20_000 // config["batch_size"])):
                pass
            if config["batch_size"] == 16 and not Path(config["flag"]).exists():
                Path(config["flag"]).touch()
                raise RuntimeError("once")
            value = 0.0 if config["batch_size"] == 16 else curve(epoch, config["batch_size"])
            run.report({"accuracy": value})
