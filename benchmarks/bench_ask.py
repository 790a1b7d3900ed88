"""How long a decision takes: 1,000 told outcomes, 50 batch sizes.

    python benchmarks/bench_ask.py

Median and worst of the last 300 calls. The work of a told outcome is done in ``tell``, so that
nobody waits for it; a new profile is taken in by the first ``should_stop`` after it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from zeus_ray.records import Measurement, Outcome, PowerProfile, ProfilePoint, Progress, Target
from zeus_ray.search import Search

SIZES = [8 * i for i in range(1, 51)]
LIMITS_W = (250.0, 200.0, 150.0, 100.0)
RUNS, EPOCHS, LAST = 1000, 6, 300
Result = TypeVar("Result")


def timed(times_s: list[float], call: Callable[[], Result]) -> Result:
    """Call, and note how long it took."""
    began_s = time.perf_counter()
    result = call()
    times_s.append(time.perf_counter() - began_s)
    return result


def main() -> int:
    """Drive one search and print its times."""
    search = Search(batch_sizes=SIZES, default_batch_size=80, target=Target("accuracy", 0.9), max_epochs=100)
    rng = np.random.default_rng(0)
    ask_s: list[float] = []
    stop_s: list[float] = []
    tell_s: list[float] = []
    for _ in range(RUNS):
        knobs = timed(ask_s, search.ask)
        size = knobs.batch_size
        points = tuple(ProfilePoint(w, 0.9 * w, (8 + 200 / size) * (1 + 12 / (w - 60))) for w in LIMITS_W)
        search.observe_profile(PowerProfile(batch_size=size, gpu="V100", max_power_w=250.0, points=points))
        for epoch in range(EPOCHS):
            used = Measurement(energy_j=100.0 * epoch, time_s=float(epoch))
            progress = Progress(knobs=knobs, epoch=epoch, metric=0.1 * epoch, measurement=used, gpu="V100")
            timed(stop_s, lambda progress=progress: search.should_stop(progress))  # type: ignore[misc]
        epochs = float(10 + abs(size - 40) / 10 + rng.normal())
        used = Measurement(energy_j=100 * epochs, time_s=epochs)
        outcome = Outcome(knobs=knobs, reached=True, epochs=epochs, metric=0.9, measurement=used, gpu="V100")
        timed(tell_s, lambda outcome=outcome: search.tell(outcome))  # type: ignore[misc]
    for name, times_s, aim in (("ask", ask_s, 2.0), ("should_stop", stop_s, 0.5), ("tell", tell_s, None)):
        last_ms = [1e3 * taken for taken in times_s[-LAST:]]
        line = f"{name:<12} median {statistics.median(last_ms):6.3f} ms, worst {max(last_ms):6.3f} ms"
        print(line + (f" (aim: {aim:g} ms)" if aim else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
