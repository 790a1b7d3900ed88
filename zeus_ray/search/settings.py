"""The arguments of a search, validated once at construction."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from typing_extensions import Self

from zeus_ray.errors import BadInput
from zeus_ray.records import Target
from zeus_ray.search.feasible_batch_sizes import AUTO, powers_of_two


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Arguments of :class:`~zeus_ray.search.search.Search` in plain values; documented there."""

    batch_sizes: tuple[int, ...]
    default_batch_size: int
    target: Target | None
    power_limits_w: tuple[float, ...] | None
    max_power_w: float | None
    eta: float
    max_slowdown: float | None
    beta: float
    max_epochs: float
    gpus: int
    seed: int
    exploration_budget: float | None
    recurring: bool
    horizon_runs: int
    tolerance: float
    window: int | None
    points_to_evaluate: tuple[int, ...] = ()
    accumulate: bool = False
    auto_sizes: bool = False
    """The batch sizes were given as "auto"."""

    @classmethod
    def checked(cls, **given: Any) -> Self:  # noqa: ANN401 — validated below, one by one
        """Settings from a user's arguments.

        Raises:
            BadInput: an argument is not allowed; the message names it and what is allowed.
        """
        default = _whole("default_batch_size", given["default_batch_size"])
        auto = isinstance(given["batch_sizes"], str)
        sizes = _auto(given["batch_sizes"], default) if auto else _batch_sizes(given["batch_sizes"])
        if default not in sizes:
            raise BadInput(f"default batch size {default} is not among the batch sizes {list(sizes)}")
        _check_numbers(given)
        limits = _power_limits(given["power_limits_w"], given["max_power_w"])
        first = tuple(_whole("a point to evaluate", size) for size in given["points_to_evaluate"])
        if others := sorted(set(first) - set(sizes)):
            raise BadInput(f"points to evaluate {others} are not among the batch sizes {list(sizes)}")
        given |= {"batch_sizes": sizes, "default_batch_size": default, "power_limits_w": limits}
        return cls(**given | {"points_to_evaluate": first, "auto_sizes": auto})

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`, through JSON."""
        target = raw["target"]
        return cls.checked(**{**raw, "target": Target(**target) if target else None})

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments that construct a search with these settings."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**given, "batch_sizes": AUTO} if given.pop("auto_sizes") else given

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        target = dataclasses.asdict(self.target) if self.target else None
        return {**self.arguments(), "target": target}


def _auto(given: str, default: int) -> tuple[int, ...]:
    if given != AUTO:
        raise BadInput(f"batch sizes are {given!r}; allowed: positive whole numbers, or {AUTO!r}")
    return powers_of_two(default)


def _batch_sizes(given: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(_whole("batch size", size) for size in given)
    if not sizes:
        raise BadInput("there are no batch sizes; give at least one positive whole number")
    if twice := sorted({size for size in sizes if sizes.count(size) > 1}):
        raise BadInput(f"batch sizes {twice} are given more than once in {list(sizes)}")
    return tuple(sorted(sizes))


def _whole(name: str, number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, Integral) or int(number) < 1:
        raise BadInput(f"{name} is {number!r}; allowed: positive whole numbers")
    return int(number)


def _power_limits(given: Sequence[float] | None, max_power_w: float | None) -> tuple[float, ...] | None:
    if given is None:
        return None
    limits = tuple(sorted((float(limit) for limit in given), reverse=True))
    if not limits:
        raise BadInput("power_limits_w is empty; give at least one limit (W), or None for the GPU's range")
    ceiling = math.inf if max_power_w is None else max_power_w
    for limit in limits:
        if not (math.isfinite(limit) and 0 < limit <= ceiling):
            raise BadInput(f"power limit {limit:g} W is outside the range above 0 to {ceiling:g} W")
    if len(set(limits)) < len(limits):
        raise BadInput(f"power limits are given more than once in {list(limits)}")
    return limits


def _check_numbers(given: Mapping[str, Any]) -> None:
    def need(name: str, ok: bool, allowed: str) -> None:
        if not ok:
            raise BadInput(f"{name} is {given[name]!r}; allowed: {allowed}")

    def at_least(name: str, low: float) -> bool:
        return given[name] is None or (_number(given[name]) and given[name] >= low)

    need("target", given["target"] is None or isinstance(given["target"], Target), "a Target, or None")
    need("eta", _number(given["eta"]) and 0 <= given["eta"] <= 1, "0 (time alone) to 1 (energy alone)")
    need("max_slowdown", at_least("max_slowdown", 1), "1 (no slower) or more, or None for no constraint")
    need("beta", _number(given["beta"]) and given["beta"] > 1, "above 1: a run may cost more than the best")
    need("max_epochs", _number(given["max_epochs"]) and given["max_epochs"] > 0, "above 0")
    need("exploration_budget", at_least("exploration_budget", 0), "runs of the default, 0 or more, or None")
    power = given["max_power_w"]
    need("max_power_w", power is None or (_number(power) and 0 < power < math.inf), "watts above 0, or None")
    _whole("gpus", given["gpus"])
    _whole("horizon_runs", given["horizon_runs"])
    if given["window"] is not None:
        _whole("window", given["window"])
    need("seed", isinstance(given["seed"], int) and given["seed"] >= 0, "a whole number, 0 or more")
    need("tolerance", _number(given["tolerance"]) and 0 <= given["tolerance"] < 1, "0 to below 1")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
