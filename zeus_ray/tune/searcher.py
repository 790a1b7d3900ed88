"""``ZeusSearcher``: Ray Tune's search algorithm over (batch size, power limit).

It translates between Ray Tune and :class:`zeus_ray.search.search.Search`, and decides nothing itself:
``suggest`` asks the search and writes its suggestion into ``config["zeus"]``; results and ends of trials
become progress and outcomes, are stored in the event log, and told.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ray.tune.search import Searcher

from zeus_ray.carbon.objective_from_arguments import resolve_objective
from zeus_ray.carbon.series import Signal
from zeus_ray.errors import BadInput, TargetNotReached
from zeus_ray.objective import Prices
from zeus_ray.records import (
    BASELINE,
    NOTHING_LEFT,
    RESERVED,
    Best,
    Knobs,
    Plan,
    SearchAnswer,
    StopReason,
    Target,
)
from zeus_ray.reporting.answer_rows import answer_rows, html_rows
from zeus_ray.reporting.stored_answer import write_answer
from zeus_ray.search.search import Search
from zeus_ray.store.event_log import EventLog, new_search_history
from zeus_ray.store.search_recorder import SearchRecorder
from zeus_ray.store.warm_start import read_warm_start
from zeus_ray.training.plan_from_config_or_arguments import carried_settings
from zeus_ray.tune.answer_record_from_search import describe_answer, why_no_answer
from zeus_ray.tune.never_worse_than_baseline import best_with_baseline
from zeus_ray.tune.other_parameters import OtherParameters
from zeus_ray.tune.refuse_wrappers import refuse_wrappers
from zeus_ray.tune.remaining_trials_and_time import Remaining
from zeus_ray.tune.search_properties import (
    SearchSpace,
    agreed_target,
    agreed_value,
    joint_space,
    point_batch_size,
)
from zeus_ray.tune.searcher_snapshot import SearcherSnapshot, read_snapshot, write_snapshot
from zeus_ray.tune.trials_as_search_runs import TrialRuns

if TYPE_CHECKING:
    from zeus_ray.search.policies import Policy

logger = logging.getLogger("zeus_ray")

# Tune's TensorBoard logger warns of each NaN in a result; ours mean "unknown", and there are many.
logging.getLogger("tensorboardX.x2num").setLevel(logging.ERROR)


class ZeusSearcher(Searcher):  # type: ignore[misc]  # Ray is not typed
    """Finds the batch size and GPU power limit that reach the target for the least cost.

    Cost is eta · energy (J) + (1 − eta) · maximum power (W) · time (s) to the target metric (Zeus,
    NSDI'23, Eq. 2). Pass it to ``tune.run`` or ``tune.Tuner`` as ``search_alg``, with ``num_samples``
    as the most trials it may run; it ends by itself when no further trial is expected to pay. The first
    trial runs alone until its power limits are measured and it has reported its metric. Then, with
    ``max_concurrent_trials``, others run beside it where their expected saving exceeds their energy.

    Args:
        target: the metric and value that count as trained. None: the metric that the
            default batch size reaches becomes the target.
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
        eta: 1 saves energy (or carbon, or money) alone, 0 time alone; None: 0.5, or 1 with ``max_slowdown``.
        power_limits_w: limits to consider (W per GPU); None: each GPU's own range.
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); None: the highest limit of the GPU.
        gpus: GPUs of one trial.
        max_slowdown: consider only limits at most this many times as slow as the fastest one; without
            ``eta``, the least energy in at most that time. None: any.
        beta: a run is ended before it costs more than beta times the cheapest (Zeus, section 4.3).
        max_epochs: a run that has not reached the target by then has failed.
        policy: "zeus-ray", "nsdi23" for the published one, or an instance, of which the search gets a copy.
        exploration_budget: what the search may cost beyond running the default, in runs of the default, plus
            what it has saved; inf: no bound; None: the policy's own.
        horizon_runs: how often the answer will be used: what knowing it better is worth.
        points_to_evaluate: batch sizes to try first: ``[128]``, or as Tune's searchers take them,
            ``[{"batch_size": 128}]``.
        warm_start: event logs to begin with: ``history`` of another search, or folders of recurring jobs
            (``HISTORY/JOB``). From another kind of GPU too: epochs carry over, profiles do not.
        other_searcher: a Ray Tune searcher for all other hyperparameters; None: they are sampled.
        baseline: first run the default batch size at the limit set on the GPU, for comparison.
        metric: as in Ray Tune; with a target, its own.
        mode: likewise.
        batch_size_key: the entry of the config that is the batch size; ``"train/batch_size"`` where it is
            nested.
        space: the search space, or a part of it, where it is not given to Tune.
        count_shared: trials count although they share a GPU (``gpu: 0.5``): the search is on their time and
            on equal shares of the energy. Without it a trial that shares a GPU counts for nothing.
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
        max_slowdown: float | None = None,
        beta: float = 2.0,
        max_epochs: float = 100,
        policy: Literal["zeus-ray", "nsdi23"] | Policy = "zeus-ray",
        exploration_budget: float | None = None,
        horizon_runs: int = 50,
        points_to_evaluate: Sequence[int | Mapping[str, int]] = (),
        warm_start: Iterable[str | os.PathLike[str]] = (),
        other_searcher: Searcher | None = None,
        baseline: bool = False,
        metric: str | None = None,
        mode: str | None = None,
        batch_size_key: str = "batch_size",
        space: Mapping[str, Any] | None = None,
        count_shared: bool = False,
        seed: int = 0,
        history: str | os.PathLike[str] | None = None,
    ) -> None:
        if target is not None and not isinstance(target, Target):
            raise BadInput(f"target is {target!r}; allowed: Target(metric, value), Target(metric), or None")
        super().__init__(metric=metric or (target.metric if target else None), mode=mode)
        self._metric: str | None
        self._mode: str | None
        self._target = target
        self._objective, eta = resolve_objective(
            objective, signal, eta=eta, max_power_w=max_power_w, gpus=gpus, max_slowdown=max_slowdown
        )
        self._options: dict[str, Any] = {
            "default_batch_size": default_batch_size,
            "eta": eta,
            "power_limits_w": power_limits_w,
            "max_power_w": max_power_w,
            "gpus": gpus,
            "max_slowdown": max_slowdown,
            "beta": beta,
            "max_epochs": max_epochs,
            "policy": policy,
            "exploration_budget": exploration_budget,
            "horizon_runs": horizon_runs,
            "accumulate": accumulate,
            "seed": seed,
        }
        sizes = [default_batch_size] if batch_sizes is None else batch_sizes
        self._new_search(batch_sizes=sizes)  # which checks the options now
        self._points = [point_batch_size(point, batch_size_key) for point in points_to_evaluate]
        self._warm_start = read_warm_start(warm_start, target)
        self._other = OtherParameters(other_searcher, seed)
        self._batch_sizes = batch_sizes
        self._batch_size_key = batch_size_key
        self._count_shared = count_shared
        self._baseline_left = baseline
        self._given_space = space
        self._space: SearchSpace | None = None
        self._started_runs: TrialRuns | None = None
        self._suggested = 0
        self._remaining = Remaining()
        self._confirms = False
        self._waiting_knobs: Knobs | None = None
        self._history = os.fspath(history or new_search_history())
        EventLog.open(self._history)  # which refuses a file
        if batch_sizes is not None or space is not None:
            self._begin(SearchSpace(space or {}, batch_size_key, batch_sizes))

    @property
    def metric(self) -> str | None:
        """The metric of the target. Raises BadInput for a wrapper that would keep results to itself."""
        if not self._suggested:
            refuse_wrappers(self)
        return self._metric

    @property
    def search(self) -> Search:
        """The search: profiles, pending runs, and all that it knows. Raises BadInput without a space."""
        return self._runs.recorder.search

    @property
    def count_shared(self) -> bool:
        """Whether trials count although they share a GPU."""
        return self._count_shared

    @property
    def _runs(self) -> TrialRuns:
        if self._started_runs is None:
            raise BadInput(
                "this searcher has seen no search: either none has begun (pass batch_sizes=, space=, or "
                "config to Tune), or it ran in another process, as with Ray Client: "
                "zeus_ray.recommended(result) has its answer"
            )
        return self._started_runs

    def best(self, eta: float | None = None) -> Best:
        """The best knobs so far with expected cost, energy and time; another ``eta`` needs no new run.

        Where nothing is cheaper than the baseline, these are the baseline's.

        Raises:
            TargetNotReached: no run has reached the target (yet), with what came nearest.
        """
        best = best_with_baseline(self.search, self._runs.baseline, eta)
        if math.isnan(best.time_s.mean):
            raise TargetNotReached(why_no_answer(self.search, self._runs.recorder.log))
        return best

    def answer(self) -> SearchAnswer:
        """The best knobs with all that the search knows of others: what its experiment stores."""
        return describe_answer(
            self.search,
            self._runs.baseline,
            objective=self._objective,
            history=self._history,
            ended=NOTHING_LEFT if self.search.finished else self._remaining.used_up(),
        )

    def __repr__(self) -> str:
        return "<ZeusSearcher: nothing searched yet>" if self._started_runs is None else self._text()

    def _text(self) -> str:
        answer = self.answer()
        return f"<ZeusSearcher: {'; '.join(f'{k}: {v}' for k, v in answer_rows(answer).items())}>"

    def _repr_html_(self) -> str:
        """For a notebook."""
        return html_rows({} if self._started_runs is None else answer_rows(self.answer()), "ZeusSearcher")

    # --- what Ray Tune calls -------------------------------------------------------------------

    def set_search_properties(
        self,
        metric: str | None,
        mode: str | None,
        config: dict[str, Any],
        **spec: Any,  # noqa: ANN401 — Tune's own
    ) -> bool:
        """Take metric, mode, space and length of an experiment from Tune.

        A second experiment continues the search of the first.

        Raises:
            BadInput: they contradict the arguments, or the first experiment.
        """
        refuse_wrappers(self)
        self._metric = agreed_value("metric", self._metric, metric)
        self._mode = agreed_value("mode", self._mode, mode)
        space = SearchSpace(joint_space(self._given_space, config), self._batch_size_key, self._batch_sizes)
        if self._suggested:
            self._begin_again(space)
        else:
            self._begin(space)
        self.set_length(**{name: spec.get(name) for name in ("num_samples", "time_budget_s")})
        return True

    def set_length(
        self, num_samples: int | None = None, time_budget_s: float | dt.timedelta | None = None
    ) -> None:
        """How many trials an experiment may run and how long, as Tune was told; None: not limited."""
        self._remaining = Remaining.of_experiment(num_samples, time_budget_s)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's config; None: not now; ``Searcher.FINISHED``: nothing is worth trying.

        Raises:
            BadInput: before the first, for a wrapper that would keep results to itself.
        """
        if not self._suggested:
            refuse_wrappers(self)
        knobs = self._waiting_knobs or self._next_knobs()
        self._waiting_knobs = None
        if knobs is None:
            return Searcher.FINISHED if self.search.finished else None
        config = self._other.config(trial_id, self._space, knobs.batch_size, self._suggested)
        if not isinstance(config, dict):
            self._waiting_knobs = knobs
            return config
        self._suggested += 1
        self._remaining.take_one()
        self._runs.start(trial_id, knobs)
        return {**config, RESERVED: self._plan(knobs).to_config()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take in a result of a running trial."""
        self.observe(trial_id, result)
        self._other.on_trial_result(trial_id, result)

    def observe(self, trial_id: str, result: Mapping[str, Any]) -> StopReason | None:
        """Take in a result. Returns why its trial should end now, or None. The same one twice counts once."""
        return self._runs.observe(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the search how a trial ended. Twice, or for an unknown trial, changes nothing.

        Without a result the last one counts: Tune gives none for a trial that ends while it is paused.
        """
        self._other.on_trial_complete(trial_id, result, error=error)
        self._runs.end(trial_id, result, error=error)

    def is_copy_of(self, other: object) -> bool:
        """Whether ``other`` is this searcher, or a copy: Ray Client pickles searcher and scheduler apart."""
        return isinstance(other, ZeusSearcher) and other._history == self._history  # noqa: SLF001 — its own class

    # --- what EnergyScheduler calls --------------------------------------------------------------

    def note_stop(self, trial_id: str, reason: StopReason) -> None:
        """The scheduler ends a trial: why, where the search itself has given no reason."""
        self._runs.note_stop(trial_id, reason)

    def adopt(self, trial_id: str, config: Mapping[str, Any]) -> None:
        """Take over a trial of a restored experiment that was suggested after the snapshot was taken."""
        self._runs.adopt(trial_id, config)

    def was_told(self, config: Mapping[str, Any]) -> bool:
        """Whether the search was told that the trial with this config has ended, and not by an error."""
        return self._runs.was_told(config)

    # --- saved and restored ----------------------------------------------------------------------

    def save(self, checkpoint_path: str) -> None:
        """Write the whole state."""
        snapshot = SearcherSnapshot(
            search=json.dumps(self.search.state()),
            runs=self._runs.active,
            told=self._runs.recorder.told,
            history=self._history,
            last_event=self._runs.recorder.log.last_number(),
            waiting_knobs=self._waiting_knobs,
            baseline_left=self._baseline_left,
            baseline=self._runs.baseline,
            measurement=self._runs.measurement,
            suggested=self._suggested,
            remaining=self._remaining,
            asked_other=self._other.asked,
        )
        write_snapshot(checkpoint_path, snapshot, self._options, self._space, self._other.searcher)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Write the whole state, and the answer so far, which ``zeus_ray.recommended`` reads."""
        if self._started_runs is None:
            return
        super().save_to_dir(checkpoint_dir, session_str)
        write_answer(checkpoint_dir, self.answer())

    def restore(self, checkpoint_path: str) -> None:
        """Continue the same search: the snapshot, then whatever was told after it was taken.

        Raises:
            BadInput: a snapshot of another version.
        """
        snapshot, foreign = read_snapshot(checkpoint_path)
        self._options, self._space, self._other.searcher = foreign
        policy = copy.deepcopy(self._options["policy"])
        own_policy = {} if isinstance(policy, str) else {"policy": policy}
        search = Search.from_state(json.loads(snapshot.search), **own_policy)
        self._metric, self._mode = search.target.metric, search.target.mode
        self._waiting_knobs, self._baseline_left = snapshot.waiting_knobs, snapshot.baseline_left
        self._remaining, self._suggested = snapshot.remaining, snapshot.suggested
        self._other.asked = snapshot.asked_other
        self._history = snapshot.history
        self._started_runs = runs = self._new_runs(search)
        runs.active, runs.baseline = snapshot.runs, snapshot.baseline
        runs.measurement = snapshot.measurement
        runs.recorder.told |= snapshot.told
        runs.recorder.catch_up(snapshot.last_event)

    # --- translation ---------------------------------------------------------------------------

    def _begin(self, space: SearchSpace) -> None:
        """Start the search: target and space are known."""
        self._space = space
        target = agreed_target(self._target, self._metric, self._mode)
        self._metric, self._mode = target.metric, target.mode
        search = self._new_search(
            batch_sizes=space.batch_sizes, target=target, points_to_evaluate=self._points
        )
        if any(self._warm_start):
            search.warm_start(*self._warm_start)
        self._started_runs = self._new_runs(search)
        self._other.set_search_properties(self._metric, self._mode, space)

    def _begin_again(self, space: SearchSpace) -> None:
        """Continue the search in another experiment. What ran in the one before has ended with it."""
        assert self._space is not None  # noqa: S101 — for the type checker: a trial was suggested
        if changes := self._space.changes(space):
            raise BadInput(
                f"this searcher has searched another space ({'; '.join(changes)}), so its results would not "
                f"compare: make a new ZeusSearcher, with warm_start=[{self._history!r}] to begin with what "
                "this one knows of batch sizes"
            )
        self._runs.drop_all()
        self._waiting_knobs = None
        self._confirms = self.search.finished

    def _new_search(self, **options: Any) -> Search:  # noqa: ANN401 — Search's own
        policy = copy.deepcopy(self._options["policy"])  # an instance belongs to one search
        return Search(**{**self._options, **options, "policy": policy}, recurring=False)

    def _new_runs(self, search: Search) -> TrialRuns:
        log = EventLog.open(self._history, one_writer=True)
        return TrialRuns(SearchRecorder(search, log, count_shared=self._count_shared))

    def _next_knobs(self) -> Knobs | None:
        if self._baseline_left and self._remaining.trials != 1:  # one trial alone is for the search
            self._baseline_left = False
            return Knobs(run_id=BASELINE, batch_size=self.search.default_batch_size)
        if self._confirms:
            return self._confirmation()
        self.search.set_remaining(self._remaining.trials, self._remaining.left_s())
        return self.search.ask(energy_price=self._objective.energy_price())

    def _confirmation(self) -> Knobs:
        """The best knobs once more: for an experiment after the search has finished."""
        self._confirms = False
        best = best_with_baseline(self.search, self._runs.baseline)
        logger.warning(
            "zeus-ray: this search has finished, so this experiment trains its answer once more (batch size "
            "%d); for a new search make a new ZeusSearcher",
            best.batch_size,
        )
        knobs = Knobs(
            run_id=f"again-{self._suggested}", batch_size=best.batch_size, power_limit_w=best.power_limit_w
        )
        self.search.add_pending(knobs)
        return knobs

    def _plan(self, knobs: Knobs) -> Plan:
        return Plan.of_search(
            self.search,
            knobs,
            gpus=self._options["gpus"],
            energy_price=self._objective.energy_price(),
            emissions=self._objective.emissions,
            **carried_settings(),
        )
