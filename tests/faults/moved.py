"""What came of a trial that was moved (moving.py): every limit back, every joule counted once.

Moments are of the one monotonic clock that all processes of a machine share. The boards draw ``POWER_W``
whatever their limit, so that joules can be told from moments.
"""

import itertools
import json
import threading
import time
from pathlib import Path

WITHIN_S = 10.0
POWER_W = 107.9  # of a V100 at three tenths of its load, below every limit here
LOAD = 0.3


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
