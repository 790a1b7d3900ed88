"""A Ray cluster of real processes: two nodes with two fake GPUs each, a third that may set no limit."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))


@pytest.fixture(scope="module")
def nodes(fake_nvml, tmp_path_factory):
    """The fake hardware of nodes a, b and c, under full load."""
    folder = tmp_path_factory.mktemp("fake-gpus")
    nodes = {
        "a": fake_nvml.node(folder, "a", cards="V100,V100"),
        "b": fake_nvml.node(folder, "b", cards="V100,V100"),
        "c": fake_nvml.node(folder, "c", cards="V100"),
    }
    for node in nodes.values():
        for index in range(len(node.gpus)):
            node.load(1.0, index)
    return nodes


@pytest.fixture(scope="module")
def cluster(nodes, tmp_path_factory):
    import ray
    from ray.cluster_utils import Cluster

    home = tmp_path_factory.mktemp("cluster-home")
    os.environ.pop("ZEUS_RAY_GPU", None)
    cluster = Cluster()
    for name, node in nodes.items():
        settings = {
            **node.env,
            "ZEUS_RAY_STATE_DIR": str(home / name),
            "ZEUS_RAY_LOCK_DIR": str(home),
            "ZEUS_RAY_POWER_CONTROL": "off" if name == "c" else "auto",
        }
        marks = {f"node_{name}": 8} if name == "c" else {f"node_{name}": 8, "may_set": 8}
        # The first one is the head, too, with a dashboard at any port: another Ray may have the usual one.
        more = {"include_dashboard": False} if cluster.head_node else {"dashboard_port": None}
        cluster.add_node(num_cpus=2, num_gpus=len(node.gpus), resources=marks, env_vars=settings, **more)
    ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
