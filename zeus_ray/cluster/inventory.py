"""Ask every node of a cluster the same question: what boards it has, what it owes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from zeus_ray.devices.doctor import NodeReport, examine
from zeus_ray.devices.restore import Restored, restore_all

Answer = TypeVar("Answer")
ANSWER_WITHIN_S = 60.0


def examine_all() -> dict[str, NodeReport]:
    """The report of every living node, by its address."""
    return _everywhere(examine)


def restore_everywhere(*, force: bool = False) -> dict[str, list[Restored]]:
    """Give back what is owed on every living node, by its address."""
    return _everywhere(lambda: restore_all(force=force))


def _everywhere(question: Callable[[], Answer]) -> dict[str, Answer]:
    """Ask all nodes at once; a node that does not answer in a minute raises GetTimeoutError."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    ask = ray.remote(question)
    asked = {
        f"{node['NodeManagerAddress']}:{node['NodeID'][:6]}": ask.options(
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False),
        ).remote()
        for node in nodes
    }
    return dict(zip(asked, ray.get(list(asked.values()), timeout=ANSWER_WITHIN_S), strict=True))
