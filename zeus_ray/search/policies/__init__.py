"""The registry of policies: one line each, and a file of its own."""

from __future__ import annotations

from collections.abc import Callable

from zeus_ray.search.policies.expected_improvement_and_stopping import ExpectedImprovement
from zeus_ray.search.policies.nsdi23 import Nsdi23
from zeus_ray.search.policies.policy import Choice, Policy

POLICIES: dict[str, Callable[[], Policy]] = {
    "zeus-ray": ExpectedImprovement,
    "nsdi23": Nsdi23,
}

__all__ = ["POLICIES", "Choice", "Policy"]
