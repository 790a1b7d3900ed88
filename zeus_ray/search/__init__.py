"""Which batch size and power limit to run next, and when to stop a run: numpy only, no clock, no I/O, no Ray.

:class:`Search` is imported on first use: a trial needs only the power limits.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeus_ray.search.search import Search

__all__ = ["Search"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 — a class
    """Import :class:`Search` when it is asked for."""
    if name == "Search":
        return import_module("zeus_ray.search.search").Search
    raise AttributeError(f"module 'zeus_ray.search' has no attribute {name!r}")
