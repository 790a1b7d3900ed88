"""Counts the work of a run in steps, samples or tokens."""

from __future__ import annotations

from zeus_ray.errors import BadInput
from zeus_ray.records.plan_given_to_trial import REPORTED_STEPS


class UnitCounter:
    """Counts work in one unit.

    Args:
        unit: "steps", "samples", "tokens" or ``REPORTED_STEPS``.
        batch_size: samples per step.
    """

    def __init__(self, unit: str, batch_size: int) -> None:
        self.unit = unit
        self.per_step = float(batch_size) if unit == "samples" else 1.0
        self.done = 0.0

    def of_step(self, samples: int, tokens: float | None) -> float | None:
        """The work of a step of ``samples``, where it is not ``per_step``; counts it.

        Args:
            samples: samples of the step, over all processes.
            tokens: its tokens, over all processes; or the steps that the output of a command adds.

        Raises:
            BadInput: tokens are to be counted, and nothing says how many the step has.
        """
        if self.unit == "tokens":
            if tokens is None:
                raise BadInput(
                    "unit is 'tokens', but nothing says how many a step has: with run.step(tokens=...), or "
                    "run.steps(loader, tokens=lambda batch: batch['input_ids'].numel())"
                )
            self.done += tokens
            return tokens
        if self.unit == REPORTED_STEPS:
            self.done += tokens or 0.0
            return tokens
        if self.unit == "samples":
            self.done += samples
            return None
        self.done += 1
        return None
