"""``Search``: suggests runs, is told how they went, and recommends a batch size and power limit.

Anything can drive it: Ray Tune's searcher, a simulation, another framework. What to run and when to
stop is decided by the policy; the exploration budget is enforced here, around every policy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from typing_extensions import Self

from zeus_ray.errors import BadInput, TargetNotReached
from zeus_ray.objective import stop_reason
from zeus_ray.records import (
    Best,
    ExpectedCost,
    Exploration,
    Knobs,
    Measurement,
    Outcome,
    PowerProfile,
    Progress,
    StopReason,
    Target,
    TradeOff,
)
from zeus_ray.search import exploration_budget_enforcement as enforcement
from zeus_ray.search.expected_cost_by_size_and_limit import expected_costs
from zeus_ray.search.expected_epochs_of_run import ExpectedEpochs, epochs_of_run
from zeus_ray.search.knobs_of_choice import knobs_of
from zeus_ray.search.models.learning_curve import Curve
from zeus_ray.search.policies import POLICIES, Choice, Policy
from zeus_ray.search.recommendation import recommend, trade_offs
from zeus_ray.search.settings import Settings
from zeus_ray.search.state import CompletedRun, SearchState
from zeus_ray.search.target_from_default import TargetPhase

STATE_VERSION = 4


class Search:
    """The search over batch size and power limit for one training job.

    Args:
        batch_sizes: what to choose from (samples per step, over all GPUs of a run); "auto": the default
            times powers of two, outwards to what fits in memory.
        default_batch_size: the one in use today.
        target: metric value that counts as trained; None, or without a value: what the default reaches.
        power_limits_w: limits to consider (W per GPU); None: the GPU's own, read from profiles.
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); None: read from the first profile.
        eta: 1 saves energy alone, 0 time alone.
        max_slowdown: consider only limits at most this many times as slow as the fastest one; with eta=1,
            the least energy in at most that time.
        beta: a run of "nsdi23" is stopped before it costs beta times the cheapest.
        max_epochs: a run that has not reached the target by then has failed.
        gpus: GPUs of one run.
        seed: the same seed and the same results give the same suggestions.
        policy: "zeus-ray", "nsdi23" (as published), or an instance of ``policies.base.Policy``.
        exploration_budget: what the search may cost beyond running the default, in runs of the default, plus
            what it has saved; inf: no bound; None: the policy's own (1.0, or 3.0 for a search that ends; no
            bound for "nsdi23", as published).
        recurring: False for a search that ends.
        horizon_runs: how often the answer will be used: what knowing it better is worth.
        tolerance: where the default sets the target, the share of its metric that may be given up.
        window: only the newest this many runs of a batch size count (nsdi23; None: all).
        points_to_evaluate: batch sizes to try first, in this order, outside the exploration budget.
        accumulate: a batch size that does not fit in memory runs as micro-batches (``Knobs.accumulate``).

    Raises:
        BadInput: an argument that is not allowed, naming what is.
    """

    def __init__(
        self,
        *,
        batch_sizes: Sequence[int] | Literal["auto"],
        default_batch_size: int,
        target: Target | None = None,
        power_limits_w: Sequence[float] | None = None,
        max_power_w: float | None = None,
        eta: float = 0.5,
        max_slowdown: float | None = None,
        beta: float = 2.0,
        max_epochs: float = 100,
        gpus: int = 1,
        seed: int = 0,
        policy: str | Policy = "zeus-ray",
        exploration_budget: float | None = None,
        recurring: bool = True,
        horizon_runs: int = 50,
        tolerance: float = 0.005,
        window: int | None = None,
        points_to_evaluate: Sequence[int] = (),
        accumulate: bool = False,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "policy")}
        self._settings = Settings.checked(**given)
        self._policy = _policy(policy)
        own = self._policy.exploration_budget if recurring else self._policy.one_search_budget
        self._state = SearchState(self._settings, own if exploration_budget is None else exploration_budget)
        self._target_phase = TargetPhase(self._state.target, tolerance)
        self._policy.bind(self._state)
        self._to_try = list(self._settings.points_to_evaluate)

    # --- settings and results --------------------------------------------------------------------

    @property
    def target(self) -> Target:
        """Metric, mode, and the value once it is known."""
        return self._state.target

    @property
    def profiles(self) -> tuple[PowerProfile, ...]:
        """Power profiles so far, one per kind of GPU and batch size."""
        return self._state.profiles.all()

    @property
    def pending(self) -> tuple[str, ...]:
        """Run ids suggested and not told yet."""
        return tuple(self._state.pending.knobs)

    @property
    def eta(self) -> float:
        """The weight of energy (1) against time (0)."""
        return self._settings.eta

    @property
    def seed(self) -> int:
        """The same seed and the same results give the same suggestions."""
        return self._settings.seed

    @property
    def max_slowdown(self) -> float | None:
        """Times that a limit may be as slow as the fastest one; None: any."""
        return self._settings.max_slowdown

    @property
    def beta(self) -> float:
        """How many times the cheapest run another may cost."""
        return self._settings.beta

    @property
    def gpus(self) -> int:
        """GPUs of one run."""
        return self._settings.gpus

    @property
    def max_epochs(self) -> float:
        """Epochs after which a run has failed."""
        return self._settings.max_epochs

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Every batch size that may ever be tried, increasing."""
        return self._settings.batch_sizes

    @property
    def max_power_w(self) -> float | None:
        """MAXPOWER (W per GPU); None until it was given or read from a profile."""
        return self._state.max_power_w

    @property
    def default_batch_size(self) -> int:
        """The batch size in use today."""
        return self._settings.default_batch_size

    def cost(self, measurement: Measurement) -> float:
        """Cost (J) of what was measured, Eq. 2; by time alone where energy is NaN."""
        return self._state.cost(measurement)

    def exploration(self) -> Exploration:
        """What the search has spent and saved against running the default, in total and per run."""
        return self._state.budget.report(*self._state.under_way(""))

    # --- deciding --------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether a search that ends (``recurring=False``) has nothing left worth trying, nor pending."""
        return not self._state.pending.knobs and self._nothing_left

    @property
    def _nothing_left(self) -> bool:
        if self._settings.recurring or self._target_phase.active or self._to_try:
            return False
        most = 2 * len(self._settings.batch_sizes) + self._settings.horizon_runs
        return not self._state.sizes or self._state.told >= most or self._policy.finished

    def set_remaining(self, trials: int | None = None, time_s: float | None = None) -> None:
        """Say how many more runs may be asked for, and how long they may take in all; None: no limit.

        With one run left and nothing that has reached the target, that run is the default to its end. A
        batch size whose run would not end within ``time_s`` is not explored.
        """
        self._state.remaining_trials, self._state.remaining_time_s = trials, time_s

    def ask(self, gpu: str = "", run_id: str = "", *, energy_price: float = 1.0) -> Knobs | None:
        """The next run, or None: not now (a result is awaited), or never again (``finished``).

        Args:
            gpu: the kind of GPU it will run on, where that is known; else as the last one.
            run_id: the name of the run, where the caller has one.
            energy_price: what a joule costs now (in carbon, or money), in multiples of its long-run mean. It
                moves this run's power limit and nothing else: batch sizes are compared, and costs capped,
                in joules and seconds at the long-run price.

        Raises:
            TargetNotReached: there is no target, and the default batch size has failed twice.
        """
        self._target_phase.check()
        state, default = self._state, self._settings.default_batch_size
        limits = self._settings.power_limits_w
        if self._target_phase.active:
            first = Choice(batch_size=default, probe_limits_w=limits)
            return None if state.pending.knobs else self._issue(first, gpu, run_id, energy_price, math.inf)
        if (wished := self._wished()) is not None:
            knobs = self._issue(wished, gpu, run_id, energy_price, math.inf)
            state.wished.add(knobs.run_id)
            return knobs
        if self._nothing_left:
            return None
        choice = self._policy.choose(gpu)
        if choice is None:
            return None
        if self._last_chance and choice.batch_size != state.fallback:
            choice = Choice(batch_size=state.fallback, probe_limits_w=limits)
        waits = not self._settings.recurring and not self._last_chance
        allowed = enforcement.allowed(state, choice, gpu, may_wait=waits)
        return None if allowed is None else self._issue(allowed[0], gpu, run_id, energy_price, allowed[1])

    def _wished(self) -> Choice | None:
        """The next of ``points_to_evaluate``."""
        while self._to_try:
            size = self._to_try.pop(0)
            if self._state.feasible.micro_batches(size):
                limits = self._settings.power_limits_w
                return Choice(batch_size=size, cost_cap=self._state.usual_cap, probe_limits_w=limits)
        return None

    @property
    def _last_chance(self) -> bool:
        """Whether one run is left and nothing has reached the target."""
        left = self._state.remaining_trials
        return left is not None and left <= 1 and not any(run.reached for run in self._state.runs)

    def _issue(self, choice: Choice, gpu: str, run_id: str, energy_price: float, left_j: float) -> Knobs:
        return self._state.pending.issue(knobs_of(choice, self._state, gpu, energy_price, left_j), run_id)

    def should_stop(self, progress: Progress) -> StopReason | None:
        """Whether a run should end now, and why. Ask after its probes (epoch 0) and after each report."""
        curve = self.record_progress(progress)
        end = stop_reason(
            reached=self.target.reached(progress.metric),
            epochs=progress.epoch,
            max_epochs=self._settings.max_epochs,
        )
        if end is not None or self._target_phase.active:
            return end
        if enforcement.exceeds(self._state, progress):
            return StopReason.COST_CAP
        stop = self._policy.should_stop(progress, curve)
        if stop is not None and not enforcement.may_give_up(self._state, progress.knobs):
            return None
        return stop

    def record_progress(self, progress: Progress) -> Curve:
        """Record how far a run is without deciding anything. Returns its learning curve so far."""
        if self._target_phase.active and progress.knobs.run_id in self._state.pending.knobs:
            self._target_phase.record(progress)
        return self._state.pending.record(progress, self._cost_so_far(progress))

    def _cost_so_far(self, progress: Progress) -> float:
        """Cost (J) as measured; by epochs where nothing was; 0 where that is unknown too."""
        cost = self._state.cost(progress.measurement)
        if math.isnan(cost):
            cost = progress.epoch * self._state.epoch_cost(progress.knobs.batch_size, progress.gpu)
        return cost if math.isfinite(cost) else 0.0

    # --- learning --------------------------------------------------------------------------------

    def observe_profile(self, profile: PowerProfile) -> None:
        """Learn what an epoch costs at the limits measured. The same profile twice changes nothing."""
        if self._state.profiles.add(profile):
            self._state.kinds_here.add(profile.gpu)
            self._state.learn_max_power(profile.max_power_w)

    def tell(self, outcome: Outcome) -> None:
        """Learn how a run ended. Goes by its run id: unknown or told before changes nothing."""
        state = self._state
        taken = state.pending.take(outcome.knobs.run_id)
        if taken is None:
            return
        knobs, curve = taken
        state.told += 1
        state.kinds_here.update({outcome.gpu} - {""})
        state.learn_max_power(None)
        enforcement.enter(state, knobs, outcome, by_default=self._target_phase.active)
        if outcome.stop == StopReason.OUT_OF_MEMORY and not state.feasible.observe(knobs, outcome.stop):
            return  # it says nothing of the batch size: it can run again, in smaller parts
        if self._target_phase.active:
            outcome = self._target_phase.end(outcome)
            state.target = self._target_phase.target
            if self._target_phase.active:
                return
        if state.counts(knobs, outcome):
            run = CompletedRun.of(knobs, outcome, curve)
            state.add(run)
            self._policy.learn(run)

    def tell_baseline(self, outcome: Outcome, curve: Curve) -> None:
        """Learn of a run of the default that was not asked for.

        Once the search has completed runs of its own, its epochs and its curve count like theirs. The
        exploration account is left as it is.

        Args:
            outcome: how it ended; one that has not reached the target changes nothing.
            curve: (epoch, metric) of its reports.
        """
        if outcome.reached:
            self._state.baseline = CompletedRun.of(outcome.knobs, outcome, curve)

    def add_pending(self, knobs: Knobs) -> None:
        """Make a run pending that a restored search does not know; a known one changes nothing."""
        self._state.pending.add(knobs)

    def replay_ask(self, knobs: Knobs, gpu: str = "", *, energy_price: float = 1.0) -> None:
        """Take a run as asked for by an earlier process of this search, and move on as if it were asked here.

        Where this search would ask for something else (other settings, two processes at once), the
        recorded run stands.
        """
        before = self._policy.state(), self._state.rng.bit_generator.state, list(self._to_try)
        try:
            again = self.ask(gpu, knobs.run_id, energy_price=energy_price)
        except TargetNotReached:
            again = None
        if again == knobs:
            return
        self.drop_pending(knobs.run_id)
        self._policy.restore(before[0])
        self._state.rng.bit_generator.state, self._to_try = before[1], before[2]
        self.add_pending(knobs)

    def drop_pending(self, run_id: str) -> None:
        """Stop waiting for a run whose result is not coming: it was interrupted, or never began."""
        enforcement.drop(self._state, run_id)
        self._state.pending.drop(run_id)

    def warm_start(self, profiles: Iterable[PowerProfile], runs: Iterable[tuple[Outcome, Curve]]) -> None:
        """Begin with the results of an earlier search, on this kind of GPU or another.

        Epochs carry over between kinds of GPU; a profile counts on its own kind alone. Results of the
        machine rather than the job are left out: crashes, shared GPUs, out of memory.

        Raises:
            BadInput: there is no target yet, so it is unknown whether those runs would have reached it.
        """
        if self._target_phase.active:
            raise BadInput("earlier runs need a target to be compared by: give Target(metric, value)")
        for profile in profiles:
            self._state.profiles.add(profile)
        for outcome, curve in runs:
            machines = outcome.shared or outcome.stop in (StopReason.ERROR, StopReason.OUT_OF_MEMORY)
            if not machines and outcome.knobs.batch_size in self._settings.batch_sizes:
                if outcome.reached and outcome.knobs.batch_size == self.default_batch_size:
                    cost_j = self._state.cost(outcome.measurement)
                    self._state.budget.add(
                        "", self.default_batch_size, cost_j, cost_j, reached=True, explored=False
                    )
                run = CompletedRun.of(outcome.knobs, outcome, curve)
                self._state.add(run)
                self._policy.learn(run)

    # --- answering -------------------------------------------------------------------------------

    def power_limit_w(self, batch_size: int, gpu: str = "") -> float | None:
        """The best limit (W) of a batch size on ``gpu`` ("": the last kind); None: it has no profile."""
        profile = self._state.profiles.get(batch_size, gpu)
        return None if profile is None else self._state.limit_w(profile)

    def epochs_to_target(self, batch_size: int) -> tuple[float, ...]:
        """Epochs of each run of a batch size that reached the target, oldest first."""
        runs = self._state.reached_runs()
        return tuple(run.epochs for run in runs if run.batch_size == batch_size and run.epochs > 0)

    def best(self, eta: float | None = None) -> Best:
        """The best knobs so far with expected cost, energy and time. Another ``eta`` needs no new run.

        Args:
            eta: another weight of energy against time than the search's.

        Raises:
            BadInput: eta outside 0 to 1.
        """
        if eta is not None and not 0 <= eta <= 1:
            raise BadInput(f"eta is {eta!r}; allowed: 0 (time alone) to 1 (energy alone)")
        return recommend(self._state, self.eta if eta is None else eta)

    def trade_offs(self) -> tuple[TradeOff, ...]:
        """What two other trade-offs would give: least energy, and least energy with hardly more time."""
        return trade_offs(self._state)

    def expected_costs(self) -> tuple[ExpectedCost, ...]:
        """The expected cost of a run at each batch size and power limit; () while nothing was reached."""
        return expected_costs(self._state, self._policy.cost_model())

    def expected_epochs(self, progress: Progress) -> ExpectedEpochs | None:
        """Epochs that a pending run needs, by its curve so far; None while nothing has reached the target."""
        curve = self.record_progress(progress)
        return epochs_of_run(self._state, self._policy.cost_model(), progress, curve)

    # --- the state -------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything, as plain JSON; :meth:`from_state` continues the very same search."""
        return {
            "version": STATE_VERSION,
            "settings": self._settings.to_dict(),
            "search": self._state.state(),
            "target_phase": self._target_phase.state(),
            "policy": {"name": self._policy.name, **self._policy.state()},
            "to_try": self._to_try,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], policy: Policy | None = None) -> Self:
        """The search that :meth:`state` described.

        Args:
            state: from :meth:`state`, through JSON.
            policy: a new instance, where the search was given one that is not in the registry.

        Raises:
            BadInput: a state of another version, or of a policy that is not in the registry.
        """
        if state.get("version") != STATE_VERSION:
            raise BadInput(f"the state has version {state.get('version')!r}; this code reads {STATE_VERSION}")
        arguments = Settings.from_dict(state["settings"]).arguments()
        search = cls(**arguments, policy=policy or state["policy"]["name"])
        search._restore(state)
        return search

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._state.restore(state["search"])
        self._target_phase.restore(state["target_phase"], self._state.target)
        self._policy.restore(state["policy"])
        self._to_try = list(state["to_try"])


def _policy(policy: str | Policy) -> Policy:
    if isinstance(policy, Policy):
        return policy
    if policy not in POLICIES:
        names = " or ".join(map(repr, POLICIES))
        raise BadInput(f"policy is {policy!r}; allowed: {names}, or an instance of Policy")
    return POLICIES[policy]()
