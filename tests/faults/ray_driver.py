"""A driver with its own Ray: one trial leases the node's GPU. Prints the pids, then waits.

python ray_driver.py FOLDER LIMIT_W [LIMIT_W …]   several limits: the trial sets them in turn
The trial appends its energy to FOLDER/energy with every reading, and ends when FOLDER/stop exists. Once
FOLDER/stranger exists, a task without a lease calls the GPU's actor; FOLDER/refused says how that went.
"""

import contextlib
import json
import logging
import os
import sys
import time
from pathlib import Path

import psutil
import ray


@ray.remote(num_gpus=1, max_retries=0)
def trial(folder, limits_w):
    from zeus_ray.actors.lease_gpus_through_actors import lease_gpus
    from zeus_ray.leases.process import HolderProcess

    given = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    group = lease_gpus(HolderProcess.current("trial"), source="nvml", control="auto", given=given)
    turn = 0
    try:
        while not (folder / "stop").exists():
            if turn == 0 or len(limits_w) > 1:
                group.set_limit(limits_w[turn % len(limits_w)])
            with (folder / "energy").open("a") as file:
                print(group.read().energy_j, file=file)
            (folder / "lease").write_text(group.held[0][1])
            (folder / "trial").write_text(str(os.getpid()))
            turn += 1
            time.sleep(0.05)
    finally:
        group.release()


@ray.remote(num_cpus=0, max_retries=0)
def stranger(folder):
    """Try to lease for other processes, and to use a lease of another one, whose id is not known."""
    from zeus_ray.actors import NAMESPACE
    from zeus_ray.errors import DeviceError
    from zeus_ray.leases.process import HolderProcess, proof_of_process

    named = ray.util.list_named_actors(all_namespaces=True)
    (name,) = (actor["name"] for actor in named if actor["name"].startswith("gpu-"))
    actor = ray.get_actor(name, namespace=NAMESPACE)
    init = HolderProcess(trial_id="init", pid=1, started_s=0.0)
    seen = []
    with proof_of_process() as proof:
        for call in (
            lambda: actor.acquire.remote(init, 200.0, proof=proof),
            lambda: actor.acquire.remote(HolderProcess.current("t"), 200.0),
            lambda: actor.set_limit.remote("guessed", 200.0),
            lambda: actor.read.remote("guessed"),
            lambda: actor.release.remote("guessed"),
        ):
            try:
                ray.get(call())
                seen.append("")
            except DeviceError as error:
                seen.append(str(error))
    (folder / "refused.draft").write_text(json.dumps(seen))
    (folder / "refused.draft").rename(folder / "refused")


def main(folder, limits_w):
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    task = trial.remote(folder, limits_w)
    while not (folder / "trial").exists():
        ray.wait([task], timeout=0.1)
    processes = psutil.Process().children(recursive=True)
    pids = {
        "trial": int((folder / "trial").read_text()),
        "raylet": next(p.pid for p in processes if p.name() == "raylet"),
        "actor": next(p.pid for p in processes if "GpuActor" in " ".join(p.cmdline())),
        "processes": [p.pid for p in processes],
    }
    print(json.dumps(pids), flush=True)  # noqa: T201 — read by the scenario
    attack = None
    while not ray.wait([task], timeout=0.1)[0]:
        if attack is None and (folder / "stranger").exists():
            attack = stranger.remote(folder)
        # A raylet that was killed is reaped, as by the init process: workers of a zombie go on training.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pids["raylet"], os.WNOHANG)
    ray.get(task)
    print("ended", flush=True)  # noqa: T201 — likewise


if __name__ == "__main__":
    main(Path(sys.argv[1]), [float(limit_w) for limit_w in sys.argv[2:]])
