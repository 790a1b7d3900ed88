"""A process of the tests: ``nightly.py HISTORY RUNS [SECONDS]`` trains RUNS times. Not a test."""

import sys
import time

from jobs import job, train

history, runs = sys.argv[1], int(sys.argv[2])
pause_s = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
print("ready", flush=True)  # noqa: T201 — how it talks to the test
for _ in range(runs):
    with job(history).run() as run:
        print(f"began {run.plan.knobs.run_id}", flush=True)  # noqa: T201 — likewise
        train(run)
        time.sleep(pause_s)  # time to be killed in
    print(f"ended {run.plan.knobs.run_id}", flush=True)  # noqa: T201 — likewise
