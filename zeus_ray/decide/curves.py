"""Learning curves: at which epoch a run first showed which metric."""

from __future__ import annotations

Curve = tuple[tuple[float, float], ...]
"""(epoch, best metric so far), where the metric got better."""
