"""How a cost is written: joule-equivalents, or what it is made of where the goal counts that alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from zeus_ray.quantity_format import Scale, cost_scale, energy_scale, time_scale
from zeus_ray.records import SearchGoal


@dataclass(frozen=True)
class CostFormat:
    """Writes the costs (J-eq) of a search with this goal; None: not known what they weigh."""

    goal: SearchGoal | None

    @property
    def name(self) -> str:
        """What the cost is, by the goal's eta: "cost", or "energy" or "time" alone."""
        return {0.0: "time", 1.0: "energy"}.get(self.goal.eta if self.goal else math.nan, "cost")

    def scale(self, costs_j: Iterable[float]) -> Scale:
        """The unit for these costs, by the largest: J-eq; J at η = 1; s at η = 0, if MAXPOWER is known."""
        if self.name == "energy":
            return energy_scale(costs_j)
        watts = self.goal.max_power_w * self.goal.gpus if self.goal else math.nan
        if self.name == "time" and watts > 0:
            times = time_scale([cost_j / watts for cost_j in costs_j])
            return Scale(times.size * watts, times.unit)
        return cost_scale(costs_j)

    def text(self, cost_j: float) -> str:
        """A cost with its unit: "48.9 kJ-eq"."""
        scale = self.scale([cost_j])
        return f"{scale.text(cost_j)} {scale.unit}"
