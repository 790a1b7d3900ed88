"""The cost of a fleet: one actor per GPU, on one to eight local Ray nodes with simulated GPUs.

    python benchmarks/bench_fleet.py [--quick] [--nodes 1 2 4 8] [--gpus 8]

For each number of nodes: the time until every GPU has its first lease (its actor is created then), lease
and release once they are there, the proportional set size of an actor, the inventory of all nodes. Then
what an idle actor costs above a bare one. Nodes of one machine share its cores: times grow with them here
where a real cluster would not.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

from zeus_ray.actors.examine_or_restore_all_nodes import examine_all
from zeus_ray.actors.lease_gpus_through_actors import gpu_actor
from zeus_ray.gpus import discovery
from zeus_ray.leases.process import HolderProcess

SOURCE = "simulated:V100"
IDLE_S = 20.0


def lease(actor: Any) -> Any:
    return actor.acquire.remote(HolderProcess.current("bench"))


def release(actor: Any, lease_id: str) -> Any:
    return actor.release.remote(lease_id)


def first_leases(node_ids: list[str], gpus: int) -> tuple[list[Any], float]:
    """Actors of all GPUs, each leased and released once, and the seconds until the last had its lease."""
    start = time.perf_counter()
    uuids = [discovery.virtual_uuid(SOURCE, index) for index in range(gpus)]
    actors = [gpu_actor(SOURCE, uuid, node_id) for node_id in node_ids for uuid in uuids]
    leases = ray.get([lease(actor) for actor in actors])
    durations_ms = time.perf_counter() - start
    ray.get([release(actor, held.lease_id) for actor, held in zip(actors, leases, strict=True)])
    return actors, durations_ms


def round_trips_ms(actors: list[Any], times: int) -> list[float]:
    """Lease and release of one GPU after another, as one driver sees it."""
    durations_ms = []
    for i in range(times):
        actor = actors[i % len(actors)]
        start = time.perf_counter()
        ray.get(release(actor, ray.get(lease(actor)).lease_id))
        durations_ms.append((time.perf_counter() - start) * 1e3)
    return sorted(durations_ms)


def processes_of(name: str) -> list[psutil.Process]:
    """The actors of a class, of every Ray on this machine: run it alone."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        title = " ".join([process.info["name"] or "", *(process.info["cmdline"] or [])])
        if f"ray::{name}" in title:
            found.append(process)
    return found


def measure(gpus: int, times: int) -> str:
    """One row of the table."""
    node_ids = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("fleet")]
    actors, first_s = first_leases(node_ids, gpus)
    trips = round_trips_ms(actors, times)
    pss_mb = [p.memory_full_info().pss / 1e6 for p in processes_of("GpuActor")]
    start = time.perf_counter()
    examine_all()
    inventory_s = time.perf_counter() - start
    for actor in actors:
        ray.kill(actor)
    return (
        f"| {len(node_ids)} | {len(actors)} | {first_s:.2f} | {first_s / len(actors):.3f} | "
        f"{statistics.median(trips):.2f} | {trips[int(0.99 * len(trips))]:.2f} | "
        f"{statistics.median(pss_mb):.0f} | {inventory_s:.2f} |"
    )


@ray.remote(num_cpus=0)
class Bare:
    """An actor without a task."""

    def ping(self) -> bool:
        """Whether it runs."""
        return True


def idle_percent(name: str, seconds: float) -> float:
    """Of a core, per actor."""
    found = processes_of(name)
    before = [sum(p.cpu_times()[:2]) for p in found]
    time.sleep(seconds)
    after = [sum(p.cpu_times()[:2]) for p in found]
    return 100 * statistics.mean(b - a for a, b in zip(before, after, strict=True)) / seconds


def compare_idle(seconds: float) -> None:
    node_id = ray.get_runtime_context().get_node_id()
    bare = [Bare.remote() for _ in range(4)]
    ray.get([actor.ping.remote() for actor in bare])
    ours, _ = first_leases([node_id], 4)
    time.sleep(2)
    print(f"\nidle, % of a core: bare actor {idle_percent('Bare', seconds):.2f}, ", end="")
    print(f"ours {idle_percent('GpuActor', seconds):.2f}, ", end="")
    held = ray.get([lease(actor) for actor in ours])
    print(f"ours with a lease {idle_percent('GpuActor', seconds):.2f}")
    ray.get([release(actor, one.lease_id) for actor, one in zip(ours, held, strict=True)])
    for actor in [*bare, *ours]:
        ray.kill(actor)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8], help="numbers of nodes, rising")
    parser.add_argument("--gpus", type=int, default=8, help="simulated GPUs per node")
    parser.add_argument("--quick", action="store_true", help="two nodes of two GPUs")
    options = parser.parse_args()
    sizes, gpus = ([1, 2], 2) if options.quick else (options.nodes, options.gpus)
    settings = {discovery.GPU_VARIABLE: SOURCE}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "env_vars": settings},
    )
    try:
        ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
        print(
            "| nodes | GPUs | all leased (s) | per GPU (s) | lease + release p50 (ms) | p99 (ms) "
            "| actor's PSS (MB) | inventory (s) |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for wanted, before in zip(sizes, [0, *sizes], strict=False):
            for _ in range(wanted - before):
                cluster.add_node(num_cpus=1, resources={"fleet": 1}, env_vars=settings)
            print(measure(gpus, 50 if options.quick else 500), flush=True)
        compare_idle(3.0 if options.quick else IDLE_S)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
