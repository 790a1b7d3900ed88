"""What to run next, and when to stop: pure numpy, no clock, no I/O, no Ray.

:class:`Search` is imported when it is first used: a trial needs only the cost and the power limits.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeus_ray.decide.search import Search

__all__ = ["Search"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 — a class
    """Import :class:`Search` when it is asked for."""
    if name == "Search":
        return import_module("zeus_ray.decide.search").Search
    raise AttributeError(f"module 'zeus_ray.decide' has no attribute {name!r}")
