"""A training command: ``progress_trainer.py STEPS [HOW]`` prints its progress. Not a test.

A step takes 10 ms at any limit. How: "lines", "bar", "silent", "fails", "usr1" (exits on
SIGUSR1), "deaf" (ignores SIGINT once), "leaves" (a process goes on).
"""

# ruff: noqa: T201 — a training prints

import os
import signal
import subprocess
import sys
import time


def main(steps, how="lines"):
    if how == "usr1":
        signal.signal(signal.SIGUSR1, lambda *_: sys.exit(5))
    if how == "deaf":
        signal.signal(
            signal.SIGINT,
            lambda *_: signal.signal(signal.SIGINT, signal.SIG_DFL) and print("heard", flush=True),
        )
    if how == "leaves":
        subprocess.Popen(["sleep", "3"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print("prepares for", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    for step in range(1, steps + 1):
        time.sleep(0.01)
        if how == "bar":
            print(
                f"\r{100 * step // steps:3}%|██| {step}/{steps} [00:01<00:02]",
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif how != "silent" and step % 10 == 0:
            print(f"step {step}: loss {3 / step:.4f}", flush=True)
        if how == "fails" and step == 30:
            sys.exit(9)
    print("saved", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
