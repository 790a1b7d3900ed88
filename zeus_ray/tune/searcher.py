"""``ZeusSearcher``: Ray Tune's search algorithm over (batch size, power limit).

It translates between Ray Tune and :class:`zeus_ray.decide.Search`, and decides nothing itself:
``suggest`` asks the search and writes its suggestion into ``config["zeus"]``; results and ends of trials
become progress and outcomes, are stored in the event log, and told.
"""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ray.tune.search import Searcher

from zeus_ray.carbon.search_objective import resolve_objective
from zeus_ray.carbon.series import Signal
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
    TrialReport,
)
from zeus_ray.search.search import Search
from zeus_ray.store.active_run import ActiveRun, same_measurement
from zeus_ray.store.event_log import EventLog, new_search_history
from zeus_ray.store.search_recorder import SearchRecorder
from zeus_ray.store.warm_start import read_warm_start
from zeus_ray.training.session import carried_settings
from zeus_ray.tune.search_properties import SearchSpace, agreed_target, agreed_value, point_batch_size
from zeus_ray.tune.searcher_snapshot import SearcherSnapshot, read_snapshot, write_snapshot

if TYPE_CHECKING:
    from zeus_ray.search.policies import Policy

# Tune's TensorBoard logger warns of each NaN in a result; ours mean "unknown", and there are many.
logging.getLogger("tensorboardX.x2num").setLevel(logging.ERROR)


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
        objective: "energy"; "carbon" or "price": by ``signal``, a run's power limit is lower while energy
            is dirty or expensive, and higher while it is clean or cheap (what a run emitted or cost is
            in ``zeus/carbon_g`` and ``zeus/price``; ``zeus/cost`` stays at the long-run mean, so that
            runs compare); or ``Prices(energy=0.30, time=2.0)``: what a kWh and an hour cost you.
        signal: of carbon or price, such as "uk" or "csv:PATH"; see :func:`zeus_ray.open_signal`.
        eta: 1 saves energy (or carbon, or money) alone, 0 time alone; None: 0.5.
        power_limits_w: limits to consider (W per GPU); None: each GPU's own range.
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); None: the highest limit of the GPU.
        gpus: GPUs of one trial.
        beta: a run is ended before it costs more than beta times the cheapest (Zeus, section 4.3).
        max_epochs: a run that has not reached the target by then has failed.
        policy: "zeus-ray", "nsdi23" for the published one, or an instance, of which the search gets a copy.
        horizon_runs: how often the answer will be used: what knowing it better is worth.
        points_to_evaluate: batch sizes to try first: ``[128]``, or as Tune's searchers take them,
            ``[{"batch_size": 128}]``.
        warm_start: event logs to begin with: ``history`` of another search, or folders of recurring jobs
            (``HISTORY/JOB``). From another kind of GPU too: epochs carry over, profiles do not.
        other_searcher: a Ray Tune searcher for all other hyperparameters; None: they are sampled.
        baseline: first run the default batch size at the limit set on the GPU, for comparison.
        metric, mode: as in Ray Tune; with a target, its own.
        batch_size_key: the entry of the config that is the batch size.
        space: the search space, where it is not given to Tune.
        seed: the same seed and the same outcomes give the same suggestions.
        history: the folder of its event log, which has every outcome before the search moves on, for a
            restore after a crash; a path, or a URI that pyarrow knows. None: a new one under
            ``~/.local/state/zeus-ray``.

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
        policy: Literal["zeus-ray", "nsdi23"] | Policy = "zeus-ray",
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
        history: str | os.PathLike[str] | None = None,
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
        }
        self._new_search(batch_sizes=batch_sizes or [default_batch_size])  # which checks the options now
        self._points = [point_batch_size(point, batch_size_key) for point in points_to_evaluate]
        self._warm_start = read_warm_start(warm_start, target)
        self._other_searcher = other_searcher
        self._batch_sizes = batch_sizes
        self._batch_size_key = batch_size_key
        self._baseline_left = baseline
        self._space: SearchSpace | None = None
        self._recorder: SearchRecorder | None = None
        self._runs: dict[str, ActiveRun] = {}
        self._waiting_knobs: Knobs | None = None
        self._measurement = ""
        self._history = os.fspath(history or new_search_history())
        EventLog.open(self._history)  # which refuses a file
        if batch_sizes is not None or space is not None:
            self._begin(space or {})

    @property
    def search(self) -> Search:
        """The search: profiles, pending runs, and all that it knows. Raises BadInput without a space."""
        return self._recorded.search

    @property
    def _recorded(self) -> SearchRecorder:
        if self._recorder is None:
            raise BadInput("the search has no space yet: pass batch_sizes=, space=, or config to Tune")
        return self._recorder

    def best(self, eta: float | None = None) -> Best:
        """The best knobs so far with expected cost, energy and time; another ``eta`` needs no new run."""
        return self.search.best(eta=eta)

    # --- what Ray Tune calls -------------------------------------------------------------------

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **_spec: object
    ) -> bool:
        """Take metric, mode and space from Tune. Raises BadInput where they contradict the arguments."""
        self._metric = agreed_value("metric", self._metric, metric)
        self._mode = agreed_value("mode", self._mode, mode)
        if self._recorder is None or config:
            self._begin(config)
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's config; None: not now; ``Searcher.FINISHED``: nothing is worth trying."""
        knobs = self._waiting_knobs or self._next_knobs()
        self._waiting_knobs = None
        if knobs is None:
            return Searcher.FINISHED if self.search.finished else None
        others = self._other_parameters(trial_id)
        if not isinstance(others, dict):
            self._waiting_knobs = knobs
            return others
        self._runs[trial_id] = ActiveRun(knobs)
        return {**others, self._batch_size_key: knobs.batch_size, RESERVED: self._plan(knobs).to_config()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take in a result of a running trial."""
        self.observe(trial_id, result)
        if self._other_searcher is not None:
            self._other_searcher.on_trial_result(trial_id, result)

    def observe(self, trial_id: str, result: Mapping[str, Any]) -> StopReason | None:
        """Take in a result. Returns why its trial should end now, or None. The same one twice counts once."""
        run = self._runs.get(trial_id)
        if run is None:
            return None
        report = TrialReport.from_result(result)
        if report is not None:
            self._measurement = same_measurement(self._measurement, report.measured_by)
        return self._recorded.observe(run, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the search how a trial ended. Twice, or for an unknown trial, changes nothing."""
        if self._other_searcher is not None:
            self._other_searcher.on_trial_complete(trial_id, result=result, error=error)
        run = self._runs.get(trial_id)
        if run is None or run.knobs.run_id == BASELINE:
            return
        if result is not None:
            self.observe(trial_id, result)
        if run.knobs.run_id in self.search.pending:
            self._recorded.end(run, error=error or result is None)

    def was_told(self, config: Mapping[str, Any]) -> bool:
        """Whether the search was told that the trial with this config has ended, and not by an error."""
        return config.get(RESERVED, {}).get("knobs", {}).get("run_id") in self._recorded.told

    def save(self, checkpoint_path: str) -> None:
        """Write the whole state."""
        snapshot = SearcherSnapshot(
            search=json.dumps(self.search.state()),
            runs=self._runs,
            told=self._recorded.told,
            history=self._history,
            last_event=self._recorded.log.last_number(),
            waiting_knobs=self._waiting_knobs,
            baseline_left=self._baseline_left,
            measurement=self._measurement,
        )
        write_snapshot(checkpoint_path, snapshot, self._options, self._space, self._other_searcher)

    def restore(self, checkpoint_path: str) -> None:
        """Continue the same search: the snapshot, then whatever was told after it was taken.

        Raises:
            BadInput: a snapshot of another version.
        """
        snapshot, foreign = read_snapshot(checkpoint_path)
        self._options, self._space, self._other_searcher = foreign
        policy = copy.deepcopy(self._options["policy"])
        own_policy = {} if isinstance(policy, str) else {"policy": policy}
        search = Search.from_state(json.loads(snapshot.search), **own_policy)
        self._metric, self._mode = search.target.metric, search.target.mode
        self._runs, self._measurement = snapshot.runs, snapshot.measurement
        self._waiting_knobs, self._baseline_left = snapshot.waiting_knobs, snapshot.baseline_left
        self._history = snapshot.history
        self._recorder = SearchRecorder(search, EventLog.open(self._history))
        self._recorder.told |= snapshot.told
        self._recorder.catch_up(snapshot.last_event)

    # --- translation ---------------------------------------------------------------------------

    def _begin(self, space: Mapping[str, Any]) -> None:
        """Start the search: target and space are known."""
        self._space = SearchSpace(space, self._batch_size_key, self._batch_sizes)
        self._target = agreed_target(self._target, self._metric, self._mode)
        self._metric, self._mode = self._target.metric, self._target.mode
        search = self._new_search(
            batch_sizes=self._space.batch_sizes, target=self._target, points_to_evaluate=self._points
        )
        if any(self._warm_start):
            search.warm_start(*self._warm_start)
        self._recorder = SearchRecorder(search, EventLog.open(self._history))
        if self._other_searcher is not None:
            self._other_searcher.set_search_properties(self._metric, self._mode, self._space.others)

    def _new_search(self, **options: Any) -> Search:  # noqa: ANN401 — Search's own
        policy = copy.deepcopy(self._options["policy"])  # an instance belongs to one search
        return Search(**{**self._options, **options, "policy": policy}, recurring=False)

    def _next_knobs(self) -> Knobs | None:
        if self._baseline_left:
            self._baseline_left = False
            return Knobs(run_id=BASELINE, batch_size=self.search.default_batch_size)
        return self.search.ask(energy_price=self._objective.energy_price())

    def _other_parameters(self, trial_id: str) -> dict[str, Any] | str | None:
        """From the other searcher, which may ask to wait; or sampled."""
        assert self._space is not None  # noqa: S101 — for the type checker: there is a search
        if self._other_searcher is not None and self._space.has_others:
            answer: dict[str, Any] | str | None = self._other_searcher.suggest(trial_id)
            return {**self._space.others, **answer} if isinstance(answer, dict) else answer
        return self._space.sample((self._options["seed"], len(self._runs)))

    def _plan(self, knobs: Knobs) -> Plan:
        return Plan.of_search(
            self.search,
            knobs,
            gpus=self._options["gpus"],
            energy_price=self._objective.energy_price(),
            emissions=self._objective.emissions,
            **carried_settings(),
        )
