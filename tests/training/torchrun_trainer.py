"""One process of a job under torchrun: python torchrun_trainer.py FOLDER STEPS [WAY]

Each step takes 10 ms and an all-reduce. FOLDER/rank-N.json gets the limit of this rank's GPU at each step and
the last report. Ways: "leaves" (rank 0 wishes to stop), "kept" (a named job), "alone" (no process group),
"by hand" (each rank sets its CUDA_VISIBLE_DEVICES), "restarts" (rank 1 is killed in the first attempt), "one"
(only rank 0 opens a session, and waits three seconds for others).

A process group is made through a file of each attempt: torchrun's own store still has the addresses of the
attempt before, to which Gloo (torch 2.13) often tries to connect, with or without zeus-ray.
"""

import json
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import pynvml
import torch
import torch.distributed as dist

import zeus_ray as zeus
from zeus_ray.train import process_group_gather


def main(folder, steps, way=""):
    rank = int(os.environ["RANK"])
    if way == "by hand":
        os.environ["CUDA_VISIBLE_DEVICES"] = str(rank)
    if way != "alone":
        attempt = folder / f"attempt-{os.getppid()}-{os.environ['TORCHELASTIC_RESTART_COUNT']}"
        dist.init_process_group(
            "gloo", init_method=f"file://{attempt}", rank=rank, world_size=int(os.environ["WORLD_SIZE"])
        )
    if way == "one":
        process_group_gather.ANSWER_WITHIN = timedelta(seconds=3)
    if way == "one" and rank:
        for _ in range(steps):
            dist.all_reduce(torch.zeros(1))
    else:
        (folder / f"rank-{rank}.json").write_text(json.dumps(trained(folder, steps, way, rank)))
    if way != "alone":
        dist.destroy_process_group()


def trained(folder, steps, way, rank):
    options = {"job": "long", "history": folder / "history"} if way == "kept" else {}
    target = zeus.Target("accuracy", 0.9) if way == "leaves" else None
    limits, value = [], torch.zeros(1)
    with zeus.session(batch_size=64, eta=1, window_s=0.5, settle_s=0.1, target=target, **options) as run:
        uuid = run._group.mine.leases[0].uuid
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        for step in range(steps):
            with run.step():
                limits.append(pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000)
                time.sleep(0.01)
                if way != "alone":
                    dist.all_reduce(value)
            after_step(folder, step, way, rank, run)
            if run.stop:
                break
        last = run.report({"accuracy": 0.5})
    return {"uuid": uuid, "limits": limits, "report": last, "stop": run.stop and run.stop.value}


def after_step(folder, step, way, rank, run):
    if step == 20:
        (folder / f"trains-{rank}").write_text(str(os.getpid()))
    if way == "restarts" and step == 50 and rank == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "leaves" and step == 100 and rank == 0:
        run.report({"accuracy": 0.95})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
