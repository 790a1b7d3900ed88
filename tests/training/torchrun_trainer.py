"""One process of a job under torchrun: python torchrun_trainer.py FOLDER STEPS [WAY]

Each step takes 10 ms and an all-reduce. FOLDER/rank-N.json gets the limit of this rank's GPU at each step and the
last report. Ways: "leaves" (rank 0 wishes to stop at step 300), "kept" (a named job), "alone" (no process group).
"""

import json
import os
import sys
import time
from pathlib import Path

import pynvml
import torch
import torch.distributed as dist

import zeus_ray as zeus


def main(folder, steps, way=""):
    rank = int(os.environ["RANK"])
    if way != "alone":
        dist.init_process_group("gloo")
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
            if step == 20:
                (folder / f"trains-{rank}").write_text(str(os.getpid()))
            if way == "leaves" and step == 100 and rank == 0:
                run.report({"accuracy": 0.95})
            if run.stop:
                break
        last = run.report({"accuracy": 0.5})
    found = {"uuid": uuid, "limits": limits, "report": last, "stop": run.stop and run.stop.value}
    (folder / f"rank-{rank}.json").write_text(json.dumps(found))
    if way != "alone":
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
