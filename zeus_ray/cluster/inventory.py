"""Ask every node of a cluster the same question: what boards it has, what it owes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from zeus_ray.devices.doctor import NodeReport, examine, unexamined
from zeus_ray.devices.restore import Restored, restore_all, unrestored

Answer = TypeVar("Answer")
ANSWER_WITHIN_S = 60.0


def examine_all() -> dict[str, NodeReport]:
    """The report of every living node, by its address."""
    return _everywhere(examine, unexamined)


def restore_everywhere(*, force: bool = False) -> dict[str, list[Restored]]:
    """Give back what is owed on every living node, by its address."""
    return _everywhere(lambda: restore_all(force=force), lambda name, error: [unrestored(name, error)])


def _everywhere(
    question: Callable[[], Answer], otherwise: Callable[[str, Exception], Answer]
) -> dict[str, Answer]:
    """Ask all nodes at once; for one that fails, or does not answer in a minute, ``otherwise`` answers."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    ask = ray.remote(question)
    asked = {
        f"{node['NodeManagerAddress']}:{node['NodeID'][:6]}": ask.options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False),
        ).remote()
        for node in nodes
    }
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_WITHIN_S)
    answers = {}
    for name, answer in asked.items():
        try:
            answers[name] = ray.get(answer, timeout=0)
        except Exception as error:  # noqa: BLE001 — of a thousand nodes one is always ill: the others count
            answers[name] = otherwise(name, error)
    return answers
