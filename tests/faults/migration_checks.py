"""Checks of a migrated trial (migrated_trial.py): every limit restored, all energy counted once.

Times are of the monotonic clock that all processes of a machine share. The GPUs draw ``POWER_W`` at any
limit, so that energy follows from times.
"""

import itertools
import json
import threading
import time
from pathlib import Path

RESTORED_WITHIN_S = 10.0
POWER_W = 107.9  # of a V100 at three tenths of its load, below every limit here
LOAD = 0.3


class LimitWatch(threading.Thread):
    """Records each change of a node's limits: (time, name of the node, limits)."""

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


def check_migration(folder, seen, result, *, limit_w, original_w):
    """The longest time from an attempt's end to the original limit. Raises AssertionError for any error."""
    lines = [json.loads(line) for line in (Path(folder) / "attempts").read_text().splitlines()]
    attempts = [list(group)[-1] for _, group in itertools.groupby(lines, key=lambda line: line[0])]
    first, second, third = (attempt[-1] for attempt in attempts)
    assert first != second == third, f"the trial was not resumed elsewhere: {first}, {second}, {third}"
    assert any(name == second and limit_w in limits_w for _, name, limits_w in seen), "no limit was set there"
    restored_s = []
    for *_, end_s, where in attempts:
        after = [(at_s, set(limits_w)) for at_s, name, limits_w in seen if name == where and at_s >= end_s]
        restored_s.append(
            next((at_s for at_s, limits_w in after if limits_w == {original_w}), float("inf")) - end_s
        )
    assert max(restored_s) < RESTORED_WITHIN_S, f"restored after {restored_s} s"
    assert result["zeus/attempt"] == 3, result
    least_j = POWER_W * sum(end_s - start_s for _, start_s, end_s, _ in attempts)
    most_j = POWER_W * sum(
        end_s + back - called_s for (called_s, _, end_s, _), back in zip(attempts, restored_s, strict=True)
    )
    counted_j = result["zeus/energy_j"]
    assert 0.99 * least_j < counted_j < 1.01 * most_j, f"{counted_j} J, not {least_j} to {most_j} J"
    return max(restored_s)
