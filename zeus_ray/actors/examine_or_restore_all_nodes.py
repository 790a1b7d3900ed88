"""The same question to every node of a cluster: which GPUs it has, which limits are still to be restored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from zeus_ray.leases.doctor import Health, NodeReport, examine, unexamined
from zeus_ray.leases.recovery import RestoreOutcome, restore_all, unrestored

NodeAnswer = TypeVar("NodeAnswer")
RayNode = Mapping[str, Any]
"""One element of ``ray.nodes()``."""
NODE_ANSWERS_WITHIN_S = 60.0


def examine_all() -> dict[str, NodeReport]:
    """The report of every living node, by its address."""
    nodes = _living()
    reports = _ask_all(nodes, examine, unexamined)
    return {name: _as_counted(report, nodes[name]) for name, report in reports.items()}


def restore_everywhere(*, force: bool = False) -> dict[str, list[RestoreOutcome]]:
    """Restore the limits that ended processes left, on every living node; the results by its address."""
    return _ask_all(
        _living(), lambda: restore_all(force=force), lambda name, error: [unrestored(name, error)]
    )


def _living() -> dict[str, RayNode]:
    return {
        f"{node['NodeManagerAddress']}:{node['NodeID'][:6]}": node for node in ray.nodes() if node["Alive"]
    }


def _ask_all(
    nodes: Mapping[str, RayNode],
    question: Callable[[], NodeAnswer],
    otherwise: Callable[[str, Exception], NodeAnswer],
) -> dict[str, NodeAnswer]:
    """Call ``question`` on all nodes at the same time.

    Args:
        nodes: by name.
        question: what each node runs.
        otherwise: the result for a node that fails, or does not answer within a minute.
    """
    ask = ray.remote(question)
    asked = {
        name: ask.options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False),
        ).remote()
        for name, node in nodes.items()
    }
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=NODE_ANSWERS_WITHIN_S)
    answers = {}
    for name, answer in asked.items():
        try:
            answers[name] = ray.get(answer, timeout=0)
        except Exception as error:  # noqa: BLE001 — one failing node must not hide the others
            answers[name] = otherwise(name, error)
    return answers


def _as_counted(report: NodeReport, node: RayNode) -> NodeReport:
    """A node without GPUs, where Ray counts none either, is healthy: many head nodes are like that."""
    if report.gpus or report.driver != "none" or node["Resources"].get("GPU"):
        return report
    return dataclasses.replace(
        report, health=Health.OK, problems=("no GPU here, and Ray counts none: nothing to do",)
    )
