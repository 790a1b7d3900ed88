"""Training functions for the tests: the learning curve is arithmetic, everything around it is real."""

import math


def dies_once(config, done):
    """Kill this process in its fourth step, where the config says so, and only once."""
    import os
    import signal
    from pathlib import Path

    mark = Path(config["mark"])
    if done == 3 and config["dies"] and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def counts_in_a_function(config):
    """Keeps checkpoints, and goes on from them."""
    import tempfile
    from pathlib import Path

    from ray import tune

    import zeus_ray as zeus

    with zeus.session(config) as run:
        given = tune.get_checkpoint()
        done = int((Path(given.path) / "done").read_text()) if given else 0
        while done < 6:
            dies_once(config, done)
            for _batch in run.steps([None] * 100):
                pass
            done += 1
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "done").write_text(str(done))
                checkpoint = tune.Checkpoint.from_directory(folder)
                run.report({"accuracy": done / 6, "steps": done}, checkpoint=checkpoint)


class Counts:
    """The body of a class trainable that does the same."""

    def setup(self, config):
        self.config, self.done = config, 0

    def step(self):
        dies_once(self.config, self.done)
        self.done += 1
        return {"accuracy": self.done / 6, "steps": self.done}

    def save_checkpoint(self, _folder):
        return {"done": self.done}

    def load_checkpoint(self, checkpoint):
        self.done = checkpoint["done"]

    def reset_config(self, config):
        self.config, self.done = config, 0
        return True


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


def noisy(config):
    import zeus_ray as zeus

    with zeus.session(config) as run:
        for epoch in range(1, 31):
            for _batch in run.steps([None] * max(1, 20_000 // config["batch_size"])):
                pass
            run.report({"accuracy": curve(epoch, config["batch_size"]) + config.get("seed", 0) / 1000})


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


def larger_is_better_until_it_does_not_fit(config):
    """Memory grows with the batch size: 100 samples and no more."""
    import torch

    import zeus_ray as zeus

    with zeus.session(config) as run:
        for epoch in range(1, 31):
            for _batch in run.steps([None] * max(1, 20_000 // config["batch_size"])):
                if run.micro_batch_size > 100:
                    raise torch.OutOfMemoryError("tried to allocate 80 GiB")
            run.report({"accuracy": curve(epoch, 32)})


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
