"""Ask every node of a cluster the same question: what boards it has, what it owes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from zeus_ray.leases.doctor import Health, NodeReport, examine, unexamined
from zeus_ray.leases.recovery import RestoreOutcome, restore_all, unrestored

Answer = TypeVar("Answer")
Node = Mapping[str, Any]
"""What ``ray.nodes()`` says of one."""
ANSWER_WITHIN_S = 60.0


def examine_all() -> dict[str, NodeReport]:
    """The report of every living node, by its address."""
    nodes = _living()
    reports = _everywhere(nodes, examine, unexamined)
    return {name: _as_counted(report, nodes[name]) for name, report in reports.items()}


def restore_everywhere(*, force: bool = False) -> dict[str, list[RestoreOutcome]]:
    """Give back what is owed on every living node, by its address."""
    return _everywhere(
        _living(), lambda: restore_all(force=force), lambda name, error: [unrestored(name, error)]
    )


def _living() -> dict[str, Node]:
    return {
        f"{node['NodeManagerAddress']}:{node['NodeID'][:6]}": node for node in ray.nodes() if node["Alive"]
    }


def _everywhere(
    nodes: Mapping[str, Node],
    question: Callable[[], Answer],
    otherwise: Callable[[str, Exception], Answer],
) -> dict[str, Answer]:
    """Ask all nodes at once; for one that fails, or does not answer in a minute, ``otherwise`` answers."""
    ask = ray.remote(question)
    asked = {
        name: ask.options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False),
        ).remote()
        for name, node in nodes.items()
    }
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_WITHIN_S)
    answers = {}
    for name, answer in asked.items():
        try:
            answers[name] = ray.get(answer, timeout=0)
        except Exception as error:  # noqa: BLE001 — of a thousand nodes one is always ill: the others count
            answers[name] = otherwise(name, error)
    return answers


def _as_counted(report: NodeReport, node: Node) -> NodeReport:
    """A node without GPUs of which Ray expects none, such as many a head, is well."""
    if report.gpus or report.driver != "none" or node["Resources"].get("GPU"):
        return report
    return dataclasses.replace(
        report, health=Health.OK, problems=("no GPU here, and Ray counts none: nothing to do",)
    )
