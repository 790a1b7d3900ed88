"""The ``zeus/`` keys of a trial's results. The only file where they are spelt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from zeus_ray.records.runs import NAN, MeasuredBy
from zeus_ray.records.trial_plan import RESERVED


@dataclass(frozen=True, kw_only=True)
class TrialReport:
    """What comes up with every result of a trial, as flat keys ``zeus/<field>``, from the first on.

    ``energy_j`` and ``time_s`` are cumulative over attempts; ``cost`` is Eq. 2 of the paper on them.
    ``energy_j_err`` bounds the error of this attempt's joules (J).
    ``cost_to_target`` is NaN until the target is reached: the one to rank trials by.
    ``accumulate``: micro-batches a step. ``moved_from``: the kind of GPU that the attempt before had,
    where it was another; energy and time are of both then. ``lr`` is what ``scale_lr`` gave, by
    ``lr_rule``. ``advice``: where no limit may be set, in words what one would have saved.
    ``profile`` is JSON of a :class:`PowerProfile`, or "" while it is not whole; then what there is of it
    is in ``profile_so_far``.
    """

    run_id: str = ""
    batch_size: int = 0
    accumulate: int = 1
    epochs: float = NAN
    energy_j: float = NAN
    energy_j_err: float = NAN
    time_s: float = NAN
    average_power_w: float = NAN
    power_limit_w: float = NAN
    cost: float = NAN
    cost_to_target: float = NAN
    carbon_g: float = NAN
    price: float = NAN
    target_reached: bool = False
    stop_reason: str = ""
    gpu: str = ""
    moved_from: str = ""
    shared: bool = False
    attempt: int = 1
    measured_by: str = MeasuredBy.NONE.value
    profile: str = ""
    profile_so_far: str = ""
    lr: float = NAN
    lr_rule: str = ""
    advice: str = ""

    def to_result(self) -> dict[str, Any]:
        """Flat keys ``zeus/<field>``."""
        return {result_key(name): value for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> Self | None:
        """Read the keys back from a Tune result; None where the trial was not metered by us."""
        if result_key("measured_by") not in result:
            return None
        names = (field.name for field in dataclasses.fields(cls))
        return cls(**{name: result[result_key(name)] for name in names if result_key(name) in result})


def result_key(field: str) -> str:
    """The result key of a field of :class:`TrialReport`, such as ``zeus/energy_j``."""
    return f"{RESERVED}/{field}"
