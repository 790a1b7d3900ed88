"""A trial that Ray Tune pauses, resumes on another node, loses to a kill -9 and starts once more.

``search`` runs it on the cluster this process has joined, whose nodes have the resources ``node_a`` and
``node_b``; ``judge`` looks at what came of it. Moments are of the one monotonic clock that all processes of
a machine share. The boards draw ``POWER_W`` whatever their limit, so that joules can be told from moments.
"""

import itertools
import json
import os
import signal
import threading
import time
from pathlib import Path

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

import zeus_ray as zeus

STEP_S = 0.25
PAUSE_AT, KILL_AT, END_AT = 4, 8, 12
WITHIN_S = 10.0
POWER_W = 107.9  # of a V100 at three tenths of its load, below every limit here
LOAD = 0.3


def train(config):
    """Attempt 1 is paused, attempt 2 kills itself well after a report, attempt 3 ends."""
    folder, done = Path(config["folder"]), 0
    if (checkpoint := tune.get_checkpoint()) is not None:
        with checkpoint.as_directory() as saved:
            done = int(Path(saved, "done").read_text())
    entered_s = time.monotonic()
    with zeus.session(config, power_limit_w=config["limit_w"]) as run:
        began_s = time.monotonic()
        node = os.environ["FAKE_NVML_NODE"]

        def note():
            with (folder / "attempts").open("a") as file:
                print(json.dumps([entered_s, began_s, time.monotonic(), node]), file=file)

        while done < END_AT:
            time.sleep(STEP_S)
            done += 1
            saved = folder / f"step-{done}"
            saved.mkdir(exist_ok=True)
            (saved / "done").write_text(str(done))
            note()
            run.report({"step": done, "node": node}, checkpoint=tune.Checkpoint.from_directory(saved))
            if done == KILL_AT and not (folder / "killed").exists():
                (folder / "killed").touch()
                time.sleep(4 * STEP_S)  # joules of which no report told
                note()
                os.kill(os.getpid(), signal.SIGKILL)


@ray.remote(num_cpus=0, num_gpus=1)
class Occupant:
    """Takes a GPU of the node that the paused trial was on, so that it must go elsewhere."""

    def there(self):
        return True


class PauseOnce(FIFOScheduler):
    """Pauses the trial, and lets it go on once all GPUs of its node are somebody else's."""

    def __init__(self):
        super().__init__()
        self.occupants, self.there = [], []

    def on_trial_result(self, _controller, _trial, result):
        if result["step"] != PAUSE_AT or self.occupants:
            return TrialScheduler.CONTINUE
        here = f"node_{result['node']}"
        gpus = sum(int(node["Resources"]["GPU"]) for node in ray.nodes() if here in node["Resources"])
        self.occupants = [Occupant.options(resources={here: 0.01}).remote() for _ in range(gpus)]
        self.there = [occupant.there.remote() for occupant in self.occupants]
        return TrialScheduler.PAUSE

    def choose_trial_to_run(self, tune_controller):
        waiting = ray.wait(self.there, num_returns=len(self.there), timeout=0)[1] if self.there else []
        return None if waiting else super().choose_trial_to_run(tune_controller)


def search(folder, limit_w):
    """Run it; returns the trial's last result."""
    result = tune.run(
        train,
        config={"batch_size": 8, "limit_w": limit_w, "folder": str(folder)},
        scheduler=PauseOnce(),
        max_failures=1,
        resources_per_trial={"cpu": 1, "gpu": 1, "custom_resources": {"may_set": 1}},
        storage_path=str(folder),
        verbose=0,
    )
    return result.trials[0].last_result


class Watch(threading.Thread):
    """Notes each change of a node's limits, by name: (moment, name, limits)."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self._nodes, self._over = nodes, threading.Event()
        self.seen = []
        self.start()

    def run(self):
        last = {}
        while not self._over.wait(0.005):
            for name, node in self._nodes.items():
                if (limits_w := node.limits_w) != last.get(name):
                    self.seen.append((time.monotonic(), name, limits_w))
                    last[name] = limits_w

    def end(self):
        self._over.set()
        self.join()
        return self.seen


def judge(folder, seen, result, *, limit_w, found_w):
    """The longest time from an attempt's end to the limit found. AssertionError where anything is wrong."""
    lines = [json.loads(line) for line in (Path(folder) / "attempts").read_text().splitlines()]
    attempts = [list(group)[-1] for _, group in itertools.groupby(lines, key=lambda line: line[0])]
    first, second, third = (attempt[-1] for attempt in attempts)
    assert first != second == third, f"the trial was not resumed elsewhere: {first}, {second}, {third}"
    assert any(name == second and limit_w in limits_w for _, name, limits_w in seen), "no limit there"
    back_s = []
    for *_, end_s, where in attempts:
        after = [(at_s, set(limits_w)) for at_s, name, limits_w in seen if name == where and at_s >= end_s]
        back_s.append(next((at_s for at_s, limits_w in after if limits_w == {found_w}), float("inf")) - end_s)
    assert max(back_s) < WITHIN_S, f"back after {back_s} s"
    assert result["zeus/attempt"] == 3, result
    least_j = POWER_W * sum(end_s - began_s for _, began_s, end_s, _ in attempts)
    most_j = POWER_W * sum(
        end_s + back - entered_s for (entered_s, _, end_s, _), back in zip(attempts, back_s, strict=True)
    )
    counted_j = result["zeus/energy_j"]
    assert 0.99 * least_j < counted_j < 1.01 * most_j, f"{counted_j} J, not {least_j} to {most_j} J"
    return max(back_s)
