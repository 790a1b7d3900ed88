"""What a Tune search space says: the batch sizes, which are ours, and everything else, which is sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ray import tune
from ray.tune.search.variant_generator import generate_variants, parse_spec_vars

from zeus_ray.errors import BadInput
from zeus_ray.records import RESERVED


class SearchSpace:
    """A Tune ``config`` / ``param_space``, split into batch sizes and the rest.

    Args:
        space: as given to Tune; domains may be nested.
        name: the entry that holds the batch size.
        batch_sizes: used instead of that entry where given; "auto" is handed on.

    Raises:
        BadInput: ``grid_search`` anywhere, no batch sizes, a domain of batch sizes that is not a
            list of choices, or an entry of the name we reserve.
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


def size_of(point: int | Mapping[str, int], name: str) -> int:
    """A point to evaluate, in either spelling."""
    if isinstance(point, int):
        return point
    if isinstance(point, Mapping) and set(point) == {name}:
        return point[name]
    raise BadInput(
        f"point to evaluate {point!r}; allowed: a batch size, or {{{name!r}: …}} alone "
        "(points of other hyperparameters go to other_searcher=)"
    )


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
