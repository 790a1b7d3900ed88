"""What Ray Tune hands to a search algorithm: metric, mode and search space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ray import tune
from ray.tune.search.variant_generator import generate_variants, parse_spec_vars

from zeus_ray.errors import BadInput
from zeus_ray.records import RESERVED, Target


class SearchSpace:
    """A Tune ``config`` / ``param_space``, split into batch sizes and the rest.

    Args:
        space: as given to Tune; domains may be nested.
        name: the entry that holds the batch size.
        batch_sizes: used instead of that entry where given; "auto" is handed on.

    Raises:
        BadInput: ``grid_search`` anywhere, no batch sizes, a domain of batch sizes that is not a
            list of choices, or an entry of the name that is reserved.
    """

    def __init__(self, space: Mapping[str, Any], name: str, batch_sizes: Sequence[int] | str | None) -> None:
        if RESERVED in space:
            raise BadInput(f"config[{RESERVED!r}] is reserved for the plan of a trial; rename yours")
        _, domains, grids = parse_spec_vars(dict(space))
        if grids:
            names = ", ".join("/".join(path) for path, _ in grids)
            raise BadInput(
                f"grid_search at {names}: a search algorithm chooses by itself; use tune.choice([...])"
            )
        self.name = name
        self.batch_sizes: Any = _choices(space.get(name), name) if batch_sizes is None else batch_sizes
        self.others = {key: value for key, value in space.items() if key != name}
        self.has_others = any(path[0] != name for path, _ in domains)

    def sample(self, seed: Sequence[int]) -> dict[str, Any]:
        """Every other hyperparameter, drawn from its domain: the same seed draws the same."""
        _, resolved = next(
            iter(generate_variants(dict(self.others), random_state=np.random.default_rng(seed)))
        )
        return dict(resolved)


def point_batch_size(point: int | Mapping[str, int], name: str) -> int:
    """The batch size of a point to evaluate, in either spelling."""
    if isinstance(point, int):
        return point
    if isinstance(point, Mapping) and set(point) == {name}:
        return point[name]
    raise BadInput(
        f"point to evaluate {point!r}; allowed: a batch size, or {{{name!r}: …}} alone "
        "(points of other hyperparameters go to other_searcher=)"
    )


def agreed_value(name: str, ours: str | None, tunes: str | None) -> str | None:
    """A value that ZeusSearcher and Ray Tune may both have. Raises BadInput where they differ."""
    if ours and tunes and ours != tunes:
        raise BadInput(
            f"{name} is {ours!r} in ZeusSearcher and {tunes!r} in Ray Tune; give it once, or equal"
        )
    return ours or tunes


def agreed_target(target: Target | None, metric: str | None, mode: str | None) -> Target:
    """The target, with metric and mode from Tune where it has none of its own. Raises BadInput."""
    if target is None:
        if not metric:
            raise BadInput("no metric: pass target=Target(metric, value), or metric= to Tune or ZeusSearcher")
        return Target(metric, None, mode or "max")
    if metric and metric != target.metric:
        raise BadInput(f"the target is on {target.metric!r}, but Ray Tune's metric is {metric!r}")
    if mode and mode != target.mode:
        raise BadInput(f"the target's mode is {target.mode!r}, but Ray Tune's is {mode!r}")
    return target


def _choices(entry: object, name: str) -> list[int]:
    if isinstance(entry, tune.search.sample.Categorical):
        return list(entry.categories)
    if isinstance(entry, int):
        return [entry]
    if entry is None:
        raise BadInput(
            f"no batch sizes: put {name!r}: tune.choice([...]) into the space, "
            "or pass batch_sizes=[...] or 'auto'"
        )
    raise BadInput(f"the space gives {name!r} as {entry!r}; allowed: tune.choice([...]) or one whole number")
