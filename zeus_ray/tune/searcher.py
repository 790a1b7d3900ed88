"""``ZeusSearcher``: Ray Tune's search algorithm over (batch size, power limit). It decides nothing itself.

``suggest`` asks :class:`zeus_ray.decide.Search` and writes its answer into ``config["zeus"]``;
results and ends of trials are translated and told.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ray import cloudpickle
from ray.tune.search import Searcher

from zeus_ray.carbon.search_objective import resolve_objective
from zeus_ray.carbon.series import Signal
from zeus_ray.decide import Search
from zeus_ray.errors import BadInput
from zeus_ray.objective import Prices
from zeus_ray.records import (
    BASELINE,
    RESERVED,
    Best,
    Knobs,
    Plan,
    StopReason,
    Target,
)
from zeus_ray.store.search_journal import EventRecorder, History, default_folder
from zeus_ray.store.warm_start import warm_start_runs
from zeus_ray.training.plan_builder import plan_for_knobs
from zeus_ray.tune.space import SearchSpace, size_of
from zeus_ray.tune.target_agreement import agree, resolve_target
from zeus_ray.tune.trial_record import TrialRecord, one_kind

# Tune's TensorBoard logger warns of each NaN in a result; ours mean "unknown", and there are many.
logging.getLogger("tensorboardX.x2num").setLevel(logging.ERROR)

SAVED = ("_space", "_other_searcher", "_options", "_baseline", "_held", "_measured_by", "_metric", "_mode")
"""What a restored searcher, fresh from its constructor, must be given back as it was."""


class ZeusSearcher(Searcher):  # type: ignore[misc]  # Ray is not typed
    """Finds the batch size and GPU power limit that reach the target for the least cost.

    Cost is eta · energy (J) + (1 − eta) · maximum power (W) · time (s) to the target metric (Zeus,
    NSDI'23, Eq. 2). Pass it to ``tune.run`` or ``tune.Tuner`` as ``search_alg``, with ``num_samples``
    as the most trials it may run; it ends by itself when nothing is worth trying any more. The first
    trial runs alone until it has shown its power profile and its first metric; then, with
    ``max_concurrent_trials``, several do as far as each is worth its energy.

    Args:
        target: the metric and value that count as trained. None: what the default batch size
            reaches, so that no accuracy is lost against what you had.
        default_batch_size: the one you would use today.
        batch_sizes: what to search; else ``tune.choice([...])`` in the space. "auto": the default
            times powers of two, outwards to what fits in memory.
        accumulate: a batch size that does not fit runs as micro-batches: ``run.micro_batch_size``
            samples at once, ``run.accumulate`` times a step. Needs a function with a session.
        objective: "energy"; "carbon" or "price": as ``signal`` goes, a run's power limit is lower while
            energy is dirty or dear, and higher while it is clean or cheap (what a run emitted or cost is
            in ``zeus/carbon_g`` and ``zeus/price``; ``zeus/cost`` stays at the long-run mean, so that
            runs compare); or ``Prices(energy=0.30, time=2.0)``: what a kWh and an hour cost you.
        signal: of carbon or price, such as "uk" or "csv:PATH"; see :func:`zeus_ray.open_signal`.
        eta: 1 saves energy (or carbon, or money) alone, 0 time alone; None: 0.5.
        power_limits_w: limits to consider (W per GPU); None: each board's own range.
        max_power_w: maximum limit of the board (W per GPU); None: as the board says.
        gpus: GPUs of one trial.
        beta: a run is ended before it costs more than beta times the cheapest (Zeus, section 4.3).
        max_epochs: a run that has not reached the target by then has failed.
        policy: "zeus-ray", or "nsdi23" for the published one.
        horizon_runs: how often the answer will be used: what knowing it better is worth.
        points_to_evaluate: batch sizes to try first: ``[128]``, or as Tune's searchers take them,
            ``[{"batch_size": 128}]``.
        warm_start: histories to begin with: ``history_file`` of another search, or folders of recurring
            jobs. From another kind of GPU too: epochs carry over, profiles do not.
        other_searcher: a Ray Tune searcher for all other hyperparameters; None: they are sampled.
        baseline: first run the default batch size at the limit found on the board, for comparison.
        metric, mode: as in Ray Tune; with a target, its own.
        batch_size_key: the entry of the config that is the batch size.
        space: the search space, where it is not given to Tune.
        seed: the same seed and the same outcomes ask the same.
        history_file: remembers every outcome at once, for a restore after a crash; None: one
            of its own under ``~/.local/state/zeus-ray``.

    Raises:
        BadInput: any of these is impossible; at construction, or when Tune hands over its space.
    """

    def __init__(
        self,
        target: Target | None = None,
        *,
        default_batch_size: int,
        batch_sizes: Sequence[int] | Literal["auto"] | None = None,
        accumulate: bool = False,
        objective: Literal["energy", "carbon", "price"] | Prices = "energy",
        signal: Signal | str | None = None,
        eta: float | None = None,
        power_limits_w: Sequence[float] | None = None,
        max_power_w: float | None = None,
        gpus: int = 1,
        beta: float = 2.0,
        max_epochs: float = 100,
        policy: Literal["zeus-ray", "nsdi23"] = "zeus-ray",
        horizon_runs: int = 50,
        points_to_evaluate: Sequence[int | Mapping[str, int]] = (),
        warm_start: Iterable[str | os.PathLike[str]] = (),
        other_searcher: Searcher | None = None,
        baseline: bool = False,
        metric: str | None = None,
        mode: str | None = None,
        batch_size_key: str = "batch_size",
        space: Mapping[str, Any] | None = None,
        seed: int = 0,
        history_file: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(metric=metric or (target.metric if target else None), mode=mode)
        self._metric: str | None
        self._mode: str | None
        self._target = target
        self._objective, eta = resolve_objective(
            objective, signal, eta=eta, max_power_w=max_power_w, gpus=gpus
        )
        self._options: dict[str, Any] = {
            "default_batch_size": default_batch_size,
            "eta": eta,
            "power_limits_w": power_limits_w,
            "max_power_w": max_power_w,
            "gpus": gpus,
            "beta": beta,
            "max_epochs": max_epochs,
            "policy": policy,
            "horizon_runs": horizon_runs,
            "accumulate": accumulate,
            "seed": seed,
            "points_to_evaluate": [],
        }
        # A search of the default alone: whatever is wrong with the options, it says so now.
        Search(batch_sizes=batch_sizes or [default_batch_size], **self._options)
        self._options["points_to_evaluate"] = [size_of(point, batch_size_key) for point in points_to_evaluate]
        self._warm_start = warm_start_runs(warm_start, target)
        self._other_searcher = other_searcher
        self._batch_sizes = batch_sizes
        self._batch_size_key = batch_size_key
        self._baseline = baseline
        self._space: SearchSpace | None = None
        self._search: Search | None = None
        self._trials: dict[str, TrialRecord] = {}
        self._held: Knobs | None = None
        self._measured_by = ""
        self._teller = EventRecorder(
            History(Path(history_file or default_folder() / f"{uuid.uuid4().hex}.jsonl"))
        )
        if batch_sizes is not None or space is not None:
            self._begin(space or {})

    @property
    def search(self) -> Search:
        """The search itself, for whoever wants to look: best knobs, profiles, what is pending."""
        if self._search is None:
            raise BadInput("the search has no space yet: pass batch_sizes=, space=, or config to Tune")
        return self._search

    def best(self, eta: float | None = None) -> Best:
        """The best knobs so far with expected cost, energy and time; another ``eta`` costs no run."""
        return self.search.best(eta=eta)

    # --- what Ray Tune calls -------------------------------------------------------------------

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **_spec: object
    ) -> bool:
        """Take metric, mode and space from Tune; a contradiction with ours is an error."""
        self._metric = agree("metric", self._metric, metric)
        self._mode = agree("mode", self._mode, mode)
        if self._search is None or config:
            self._begin(config)
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's config; None: not now; ``Searcher.FINISHED``: nothing is worth trying."""
        knobs = self._held or self._next_knobs()
        self._held = None
        if knobs is None:
            return Searcher.FINISHED if self.search.finished else None
        others = self._other_parameters(trial_id)
        if not isinstance(others, dict):
            self._held = knobs
            return others
        self._trials[trial_id] = TrialRecord(knobs)
        return {**others, self._batch_size_key: knobs.batch_size, RESERVED: self._plan(knobs).to_config()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Learn the profile and the progress of a running trial."""
        self.observe(trial_id, result)
        if self._other_searcher is not None:
            self._other_searcher.on_trial_result(trial_id, result)

    def observe(self, trial_id: str, result: Mapping[str, Any]) -> StopReason | None:
        """Take a result in, and say whether its trial should end now. The same result twice counts once."""
        trial = self._trials.get(trial_id)
        if trial is None:
            return None
        if trial.observe(result, self._goal):
            self._measured_by = one_kind(self._measured_by, trial.report.measured_by)
            self._learn_profile(trial)
            if trial.knobs.run_id != BASELINE:
                trial.verdict = self.search.should_stop(trial.progress())
        return trial.verdict

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the search how a trial ended. Twice, or for an unknown trial, changes nothing."""
        if self._other_searcher is not None:
            self._other_searcher.on_trial_complete(trial_id, result=result, error=error)
        trial = self._trials.get(trial_id)
        if trial is None or trial.knobs.run_id == BASELINE:
            return
        if result is not None:
            self.observe(trial_id, result)
        self._learn_profile(trial, ended=True)
        outcome = trial.outcome(self._goal, error=error or result is None)
        if outcome.knobs.run_id in self.search.pending:
            self._teller.outcome(self.search, outcome)

    def was_told(self, config: Mapping[str, Any]) -> bool:
        """Whether the trial with this config has ended well, as far as the search knows."""
        return config.get(RESERVED, {}).get("knobs", {}).get("run_id") in self._teller.told

    def save(self, checkpoint_path: str) -> None:
        """Write the whole state. Pickled, as all of Tune's: a space may hold functions."""
        state = {
            "search": self.search.state(),
            "trials": {name: dataclasses.asdict(trial) for name, trial in self._trials.items()},
            "teller": self._teller.state(),
            **{name: getattr(self, name) for name in SAVED},
        }
        Path(checkpoint_path).write_bytes(cloudpickle.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Continue the very same search: the snapshot, then whatever was told after it was taken."""
        state = cloudpickle.loads(Path(checkpoint_path).read_bytes())
        self._search = Search.from_state(state["search"])
        self._trials = {name: TrialRecord.from_dict(raw) for name, raw in state["trials"].items()}
        for name in SAVED:
            setattr(self, name, state[name])
        self._teller = EventRecorder.restored(state["teller"], self._search)

    # --- translation ---------------------------------------------------------------------------

    @property
    def _goal(self) -> Target:
        """Metric and mode, and the value once it is known."""
        return self.search.target

    def _begin(self, space: Mapping[str, Any]) -> None:
        """Everything is known: start the search."""
        self._space = SearchSpace(space, self._batch_size_key, self._batch_sizes)
        self._target = resolve_target(self._target, self._metric, self._mode)
        self._metric, self._mode = self._target.metric, self._target.mode
        self._search = Search(
            batch_sizes=self._space.batch_sizes, target=self._target, recurring=False, **self._options
        )
        if any(self._warm_start):
            self._search.warm_start(*self._warm_start)
        if self._other_searcher is not None:
            self._other_searcher.set_search_properties(self._metric, self._mode, self._space.others)

    def _next_knobs(self) -> Knobs | None:
        if self._baseline:
            self._baseline = False
            return Knobs(run_id=BASELINE, batch_size=self.search.default_batch_size)
        return self.search.ask(energy_price=self._objective.energy_price())

    def _other_parameters(self, trial_id: str) -> dict[str, Any] | str | None:
        """Delegated to the other searcher, which may ask to wait; or sampled."""
        assert self._space is not None  # noqa: S101 — for the type checker: there is a search
        if self._other_searcher is not None and self._space.has_others:
            answer: dict[str, Any] | str | None = self._other_searcher.suggest(trial_id)
            return {**self._space.others, **answer} if isinstance(answer, dict) else answer
        return self._space.sample((self._options["seed"], len(self._trials)))

    def _plan(self, knobs: Knobs) -> Plan:
        price = self._objective.energy_price()
        footprint = self._objective.emissions
        return plan_for_knobs(
            self.search, knobs, gpus=self._options["gpus"], energy_price=price, footprint=footprint
        )

    def _learn_profile(self, trial: TrialRecord, *, ended: bool = False) -> None:
        profile = trial.new_profile(ended=ended)
        if profile is not None:
            self._teller.profile(self.search, profile)
