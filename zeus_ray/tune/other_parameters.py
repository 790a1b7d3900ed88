"""All hyperparameters but the batch size: from another searcher of Ray Tune, or sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.search import Searcher

from zeus_ray.errors import BadInput
from zeus_ray.records import read_metric
from zeus_ray.tune.config_paths import NO_ENTRY, entry_at
from zeus_ray.tune.search_properties import SearchSpace


class OtherParameters:
    """The rest of a trial's config.

    Args:
        searcher: is asked for every trial, and told the results of those that it suggested; None: all is
            sampled.
        seed: of what is sampled.

    Attributes:
        searcher: as given.
        asked: trials that the searcher has suggested and was not told the end of.
    """

    def __init__(self, searcher: Searcher | None, seed: int) -> None:
        if searcher is not None and not isinstance(searcher, Searcher):
            raise BadInput(f"other_searcher is {searcher!r}; allowed: a searcher of ray.tune.search, or None")
        self.searcher = searcher
        self.asked: set[str] = set()
        self._seed = seed
        self._metric = ""

    def set_search_properties(self, metric: str | None, mode: str | None, space: SearchSpace) -> None:
        """Hand over metric, mode and what there is to choose; a searcher with a space of its own keeps it."""
        self._metric = metric or ""
        if self.searcher is not None:
            self.searcher.set_search_properties(metric, mode, space.searchable)

    def config(
        self, trial_id: str, space: SearchSpace | None, batch_size: int, number: int
    ) -> dict[str, Any] | str | None:
        """The whole config of a trial; or what the other searcher answers instead: not now, or finished."""
        assert space is not None  # noqa: S101 — for the type checker: there is a search
        chosen: Any = {}
        if self.searcher is not None:
            chosen = self.searcher.suggest(trial_id)
            if not isinstance(chosen, Mapping):
                return chosen  # type: ignore[no-any-return]  # Ray is not typed
            if entry_at(chosen, space.name) is not NO_ENTRY:
                raise BadInput(
                    f"other_searcher suggests {space.name!r}, which ZeusSearcher chooses: leave it out of "
                    "the space of the other searcher"
                )
            self.asked.add(trial_id)
        return space.resolve(batch_size, (self._seed, number), chosen)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Pass on a result of a trial that the other searcher suggested."""
        if self.searcher is not None and trial_id in self.asked:
            self.searcher.on_trial_result(trial_id, self._readable(result))

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None, *, error: bool) -> None:
        """Pass on how such a trial ended, once."""
        if self.searcher is not None and trial_id in self.asked:
            self.asked.discard(trial_id)
            readable = None if result is None else self._readable(result)
            self.searcher.on_trial_complete(trial_id, result=readable, error=error)

    def _readable(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """The result with its metric as a number, if only NaN: searchers calculate with it."""
        return {**result, self._metric: read_metric(result, self._metric)} if self._metric else dict(result)
