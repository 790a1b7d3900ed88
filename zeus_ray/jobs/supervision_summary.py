"""What a supervised command used, and what its power limit did: the end of ``zeus-ray run``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zeus_ray.quantity_format import counted, energy, less, power, seconds, three_digits
from zeus_ray.records import NAN, MeasuredBy
from zeus_ray.records.serialization import to_plain
from zeus_ray.training.online_limit.controller_settings_and_state import UnitPoint


@dataclass(frozen=True, kw_only=True)
class SupervisionSummary:
    """The facts about one supervised command. A number that is not known is NaN.

    Attributes:
        command: program and arguments.
        exit_code: as a shell shows it.
        gpus: GPUs that were leased for it.
        gpu: their kind.
        measured_by: where the energy comes from.
        energy_j: energy of these GPUs from the start of the command to its end (J), idle ones included.
        time_s: time likewise (s).
        average_power_w: of all GPUs together (W).
        power_limit_w: the limit in force at the end, before it was restored (W per GPU).
        chosen_limit_w: the best limit, by the profile (W per GPU); NaN where no profile was complete.
        steps: steps that its output has counted; NaN where no progress was read.
        energy_per_step_j: ``energy_j`` over ``steps``: start, evaluation and profiling included.
        profiling_lines: lines of progress that belonged to windows of a profile.
        profiling_extra_s: what their steps took longer than at the chosen limit (s).
        slowdown: time of the steps over what they would have taken at the highest limit.
        profile: the limits measured: W, average W per GPU, seconds per step.
        progress_line: a line from which progress was read; "" where none was.
        metric: the latest value of the metric; NaN where none was asked for or read.
    """

    command: tuple[str, ...]
    exit_code: int
    gpus: int
    gpu: str
    measured_by: str
    energy_j: float
    time_s: float
    average_power_w: float
    power_limit_w: float
    chosen_limit_w: float = NAN
    steps: float = NAN
    energy_per_step_j: float = NAN
    profiling_lines: int = 0
    profiling_extra_s: float = NAN
    slowdown: float = NAN
    profile: tuple[UnitPoint, ...] = ()
    progress_line: str = ""
    metric: float = NAN

    def to_text(self) -> str:
        """As one line of JSON, in which what is not known is null."""
        return json.dumps(with_null(to_plain(self)), ensure_ascii=False)

    def sentences(self) -> Iterator[str]:
        """The summary for people, one sentence a line."""
        if self.gpus:
            used = (
                f"{energy(self.energy_j)} in {seconds(self.time_s)}, {power(self.average_power_w)} on average"
            )
            by = (
                "SIMULATED, full load"
                if self.measured_by == MeasuredBy.SIMULATED
                else f"by {self.measured_by}"
            )
            yield f"{used}, on {counted(self.gpus, 'GPU')} ({self.gpu}), {by}"
        else:
            yield f"{seconds(self.time_s)}; no GPU was measured"
        if self.steps > 0:
            each = energy(self.energy_per_step_j)
            yield f"{counted(round(self.steps), 'step')}, {each} each, with start, evaluation and profiling"
        if not math.isnan(self.chosen_limit_w):
            yield self._choice()

    def _choice(self) -> str:
        by_limit = {point.power_limit_w: point for point in self.profile}
        held, top = by_limit.get(self.chosen_limit_w), by_limit.get(max(by_limit, default=NAN))
        said = f"limit chosen: {power(self.chosen_limit_w)} of {counted(len(by_limit), 'limit')} measured"
        if self.profiling_extra_s > 0:
            said += (
                f"; the steps of the profile took {seconds(self.profiling_extra_s)} longer than at that limit"
            )
        if held is None or top is None or held is top:
            return said
        saved = 1 - (held.average_power_w * held.time_per_unit_s) / (
            top.average_power_w * top.time_per_unit_s
        )
        slower = held.time_per_unit_s / top.time_per_unit_s
        return (
            f"{said}. A step takes {less(saved)} energy than at {power(top.power_limit_w)}, and "
            f"{three_digits(slower)} times as long"
        )


def with_null(plain: Any) -> Any:  # noqa: ANN401 — JSON
    """``plain`` with None for every number that is not finite, for which JSON has no word."""
    if isinstance(plain, dict):
        return {name: with_null(value) for name, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [with_null(value) for value in plain]
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
