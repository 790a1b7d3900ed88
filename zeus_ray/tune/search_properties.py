"""What Ray Tune hands to a search algorithm: metric, mode and search space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from ray import tune
from ray.tune.search.sample import Categorical, Domain, Function
from ray.tune.search.variant_generator import generate_variants, parse_spec_vars

from zeus_ray.errors import BadInput
from zeus_ray.records import RESERVED, Target
from zeus_ray.tune.config_paths import NO_ENTRY, entries, entry_at, overlaid, with_entry, without_entry
from zeus_ray.tune.values_replaced_by_tune import STAND_IN, take_real_value


class SearchSpace:
    """A Tune ``config`` / ``param_space``, split into batch sizes and the rest.

    Args:
        space: as given to Tune; domains may be nested.
        name: path of the entry that holds the batch size, such as ``"train/batch_size"``.
        batch_sizes: used instead of that entry where given; "auto" is handed on.

    Attributes:
        others: the space without the batch size.
        searchable: what of ``others`` another searcher may choose: its domains, without ``sample_from``.

    Raises:
        BadInput: ``grid_search`` anywhere, no batch sizes, a domain of batch sizes that is not a
            list of choices, or an entry of the name that is reserved.
    """

    def __init__(self, space: Mapping[str, Any], name: str, batch_sizes: Sequence[int] | str | None) -> None:
        if RESERVED in space:
            raise BadInput(f"config[{RESERVED!r}] is reserved for the plan of a trial; rename yours")
        _, _domains, grids = parse_spec_vars(dict(space))
        if grids:
            names = ", ".join("/".join(map(str, path)) for path, _ in grids)
            raise BadInput(
                f"grid_search at {names}: a search algorithm chooses by itself; use tune.choice([...])"
            )
        self.name = name
        entry = entry_at(space, name)
        if entry is NO_ENTRY:
            _check_no_other_batch_size(space, name)
        self.batch_sizes: Any = _choices(entry, name) if batch_sizes is None else batch_sizes
        self.others = without_entry(space, name)
        self.searchable: dict[str, Any] = {}
        for path, value in entries(self.others):
            if isinstance(value, Domain) and not isinstance(value, Function):
                self.searchable = with_entry(self.searchable, path, value)
        self._described = {path: _described(value) for path, value in entries(self.others)}

    def resolve(self, batch_size: int, seed: Sequence[int], chosen: Mapping[str, Any]) -> dict[str, Any]:
        """The config of a trial: everything that is not in ``chosen`` is drawn from its domain.

        Functions of ``tune.sample_from`` are called last, with the batch size and all others in
        ``spec.config``.

        Args:
            batch_size: the trial's.
            seed: the same seed draws the same.
            chosen: values of another searcher.
        """
        config = with_entry(overlaid(self.others, chosen), self.name, batch_size)
        generator = np.random.default_rng(seed)
        _, resolved = next(iter(generate_variants({"config": config}, random_state=generator)))
        return dict(resolved["config"])

    def changes(self, other: SearchSpace) -> list[str]:
        """How ``other`` differs from this space, a clause for each entry."""
        found = []
        if list(self.batch_sizes) != list(other.batch_sizes):
            found.append(f"{self.name}: {self.batch_sizes} before, {other.batch_sizes} now")
        before, now = self._described, other._described
        for path in dict.fromkeys((*before, *now)):
            old, new = before.get(path, "nothing"), now.get(path, "nothing")
            if old != new:
                found.append(f"{path}: {old} before, {new} now")
        return found


def point_batch_size(point: int | Mapping[str, Any], name: str) -> int:
    """The batch size of a point to evaluate, in either spelling."""
    if isinstance(point, Integral):
        return int(point)
    if isinstance(point, Mapping):
        size = entry_at(point, name)
        if isinstance(size, Integral) and len(list(entries(point))) == 1:
            return int(size)
    raise BadInput(
        f"point to evaluate {point!r}; allowed: a batch size, or {{{name!r}: …}} alone "
        "(points of other hyperparameters go to other_searcher=)"
    )


def joint_space(given: Mapping[str, Any] | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """The space of ``ZeusSearcher(space=...)`` together with the config that Ray Tune has.

    Raises:
        BadInput: both have an entry, with different values.
    """
    ours = {path: _described(value) for path, value in entries(given or {})}
    for path, value in entries(config):
        if path in ours and ours[path] != _described(value):
            raise BadInput(
                f"{path!r} is {ours[path]} in ZeusSearcher(space=...) and {_described(value)} in the config "
                "of Ray Tune; give it once"
            )
    return overlaid(config, given or {})


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


def _check_no_other_batch_size(space: Mapping[str, Any], name: str) -> None:
    """Raise BadInput where a domain elsewhere has the name of the batch size: it would be drawn apart."""
    last = name.rpartition("/")[2]
    for path, value in entries(space):
        if path.rpartition("/")[2] == last and isinstance(value, Domain):
            raise BadInput(
                f"the config has no {name!r}, but a search space at {path!r}: "
                f"pass batch_size_key={path!r}, so that the trials train with the batch size of the search"
            )


def _choices(entry: object, name: str) -> list[int]:
    if isinstance(entry, Categorical):
        return [take_real_value(size) for size in entry.categories]  # type: ignore[misc]  # Search checks them
    entry = take_real_value(entry)
    if isinstance(entry, Integral) and not isinstance(entry, bool):
        return [int(entry)]
    if entry is NO_ENTRY or entry is None:
        raise BadInput(
            f"no batch sizes: put {name!r}: tune.choice([...]) into the space, "
            "or pass batch_sizes=[...] or 'auto'"
        )
    raise BadInput(f"the space gives {name!r} as {entry!r}; allowed: tune.choice([...]) or one whole number")


def _described(value: object) -> str:
    """An entry of a space as text: equal texts mean the same entry."""
    if isinstance(value, Function):
        return "tune.sample_from(...)"
    if isinstance(value, Domain):
        sampler = value.get_sampler()
        how = "" if sampler is None else f" by {type(sampler).__name__}{_plain_fields(sampler)}"
        return f"{type(value).__name__}{_plain_fields(value)}{how}"
    if isinstance(value, tuple) and value[:1] == (STAND_IN,):  # Tune's stand-in for an object
        return "an object"
    return repr(value)


def _plain_fields(thing: object) -> str:
    fields = {name: value for name, value in vars(thing).items() if name != "sampler"}
    return "(" + ", ".join(f"{name}={_plain(value)}" for name, value in sorted(fields.items())) + ")"


def _plain(value: object) -> str:
    if isinstance(value, tune.search.sample.Sampler):
        return f"{type(value).__name__}{_plain_fields(value)}"
    return repr(value)
