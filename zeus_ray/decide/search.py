"""``Search``: asks for runs, is told how they went, and knows the best batch size and power limit.

Anyone can drive it: Ray Tune's searcher, a simulation, another framework. It keeps the books; what
to run and when to stop is the policy's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from typing_extensions import Self

from zeus_ray.decide import best as answers
from zeus_ray.decide.baseline import Baseline
from zeus_ray.decide.curves import Curve
from zeus_ray.decide.frugal import Frugal
from zeus_ray.decide.issuing import knobs_of
from zeus_ray.decide.job import Choice, Job, Policy, Run
from zeus_ray.decide.nsdi23 import Nsdi23
from zeus_ray.decide.settings import Settings
from zeus_ray.errors import BadInput, TargetNotReached
from zeus_ray.records import (
    Best,
    Knobs,
    Measurement,
    Outcome,
    PowerProfile,
    Progress,
    StopReason,
    Target,
)

POLICIES: dict[str, Callable[[Job], Policy]] = {"nsdi23": Nsdi23, "zeus-ray": Frugal}
STATE_VERSION = 1


class Search:
    """The search over batch size and power limit for one training job.

    Args:
        batch_sizes: what to choose from (samples per step, over all GPUs of a run); "auto": the default
            times powers of two, outwards to what fits in memory.
        default_batch_size: the one in use today.
        target: metric value that counts as trained; None, or without a value: what the default reaches.
        power_limits_w: limits to consider (W per GPU); None: the board's own, told by profiles.
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); None: told by the first profile.
        eta: 1 saves energy alone, 0 time alone.
        beta: a run is stopped before it costs beta times the cheapest.
        max_epochs: a run that has not reached the target by then has failed.
        gpus: GPUs of one run.
        seed: the same seed and the same answers ask the same.
        policy: "zeus-ray", or "nsdi23" for the published one.
        recurring: False for a search that ends.
        horizon_runs: how often the answer will be used: what knowing it better is worth.
        tolerance: where the default sets the target, the share of its metric that may be given up.
        window: only the newest this many runs of a batch size count (nsdi23; None: all).
        points_to_evaluate: batch sizes to try first, in this order.
        accumulate: a batch size that does not fit in memory runs as micro-batches (``Knobs.accumulate``).

    Raises:
        BadInput: an argument that cannot be, naming what is allowed.
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
        beta: float = 2.0,
        max_epochs: float = 100,
        gpus: int = 1,
        seed: int = 0,
        policy: Literal["zeus-ray", "nsdi23"] = "zeus-ray",
        recurring: bool = True,
        horizon_runs: int = 50,
        tolerance: float = 0.005,
        window: int | None = None,
        points_to_evaluate: Sequence[int] = (),
        accumulate: bool = False,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        self._settings = Settings.checked(**given)
        self._job = Job(self._settings)
        self._baseline = Baseline(self._job.target, tolerance)
        self._policy: Policy = POLICIES[policy](self._job)
        self._to_try = list(self._settings.points_to_evaluate)

    # --- what it was told ------------------------------------------------------------------------

    @property
    def target(self) -> Target:
        """Metric, mode, and the value once it is known."""
        return self._job.target

    @property
    def profiles(self) -> tuple[PowerProfile, ...]:
        """Power profiles so far, one per kind of GPU and batch size."""
        return self._job.profiles.all()

    @property
    def pending(self) -> tuple[str, ...]:
        """Run ids asked for and not told yet."""
        return tuple(self._job.pending)

    @property
    def eta(self) -> float:
        """The knob between energy (1) and time (0)."""
        return self._settings.eta

    @property
    def beta(self) -> float:
        """How many times the cheapest run another may cost."""
        return self._settings.beta

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
        """MAXPOWER (W per GPU); None until it was given or a profile told it."""
        return self._job.max_power_w

    @property
    def default_batch_size(self) -> int:
        """The batch size in use today."""
        return self._settings.default_batch_size

    def cost(self, measurement: Measurement) -> float:
        """Cost (J) of what was measured, Eq. 2; by time alone where energy is NaN."""
        return self._job.cost(measurement)

    # --- deciding --------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether a search that ends (``recurring=False``) has nothing left worth trying, nor in flight."""
        return not self._job.pending and self._nothing_left

    @property
    def _nothing_left(self) -> bool:
        if self._settings.recurring or self._baseline.wanted or self._to_try:
            return False
        most = 2 * len(self._settings.batch_sizes) + self._settings.horizon_runs
        return not self._job.sizes or self._job.told >= most or self._policy.finished

    def ask(self, gpu: str = "", run_id: str = "", *, energy_price: float = 1.0) -> Knobs | None:
        """The next run, or None: not now (a result is awaited), or never again (``finished``).

        ``gpu``: the kind of GPU it will run on, where that is known; else as the last one.
        ``run_id``: what the run is to be called, where the caller has a name for it.
        ``energy_price``: what a joule costs now (in carbon, or money), in multiples of its long-run
        mean. It moves this run's power limit and nothing else: batch sizes are compared, and costs
        capped, in joules and seconds at the long-run price.

        Raises:
            TargetNotReached: there is no target, and the default batch size has failed twice.
        """
        self._baseline.check()
        if self._baseline.wanted:
            default, limits = self._settings.default_batch_size, self._settings.power_limits_w
            first = Choice(batch_size=default, probe_limits_w=limits)
            return None if self._job.pending else self._issue(first, gpu, run_id, energy_price)
        choice = self._wished() or (None if self._nothing_left else self._policy.choose(gpu))
        return None if choice is None else self._issue(choice, gpu, run_id, energy_price)

    def _wished(self) -> Choice | None:
        """What is to be tried first, and may cost what any other trial may."""
        while self._to_try:
            size = self._to_try.pop(0)
            if self._job.memory.micro_batches(size):
                limits = self._settings.power_limits_w
                return Choice(batch_size=size, cost_cap=self._job.usual_cap, probe_limits_w=limits)
        return None

    def _issue(self, choice: Choice, gpu: str, run_id: str, energy_price: float) -> Knobs:
        return self._job.flights.issue(knobs_of(choice, self._job, gpu, energy_price), run_id)

    def should_stop(self, progress: Progress) -> StopReason | None:
        """Whether a run should end now, and why. To be asked after its probes (epoch 0) and each epoch."""
        curve = self.record_progress(progress)
        if self.target.reached(progress.metric):
            return StopReason.TARGET_REACHED
        if progress.epoch >= self._settings.max_epochs:
            return StopReason.MAX_EPOCHS
        if self._baseline.wanted:
            return None
        return self._policy.should_stop(progress, curve)

    def record_progress(self, progress: Progress) -> Curve:
        """Remember how far a run is, without deciding anything; its learning curve so far."""
        if self._baseline.wanted and progress.knobs.run_id in self._job.pending:
            self._baseline.watch(progress)
        return self._job.flights.watch(progress, self.target)

    # --- learning --------------------------------------------------------------------------------

    def observe_profile(self, profile: PowerProfile) -> None:
        """Learn what an epoch costs at the limits measured. The same profile twice changes nothing."""
        if self._job.profiles.add(profile):
            self._job.kinds_here.add(profile.gpu)
            self._job.learn_max_power(profile.max_power_w)

    def tell(self, outcome: Outcome) -> None:
        """Learn how a run ended. Goes by its run id: unknown or told before changes nothing."""
        job = self._job
        flight = job.flights.take(outcome.knobs.run_id)
        if flight is None:
            return
        knobs, curve = flight
        job.told += 1
        job.kinds_here.update({outcome.gpu} - {""})
        job.learn_max_power(None)
        if outcome.stop == StopReason.OUT_OF_MEMORY and not job.memory.observe(knobs, outcome.stop):
            return  # it says nothing of the batch size: it can run again, in smaller parts
        if self._baseline.wanted:
            outcome = self._baseline.end(outcome)
            job.target = self._baseline.target
            if self._baseline.wanted:
                return
        if job.counts(knobs, outcome):
            run = Run.of(knobs, outcome, curve)
            job.add(run)
            self._policy.learn(run)

    def add_pending(self, knobs: Knobs) -> None:
        """Take a run as asked for that a restored search has forgotten; one that is known changes nothing."""
        self._job.flights.add_pending(knobs)

    def replay_ask(self, knobs: Knobs, gpu: str = "", *, energy_price: float = 1.0) -> None:
        """Take a run as asked for by another life of this search, which moves on as if it had asked.

        Where it would ask something else (other settings, two lives at once), what was asked stands.
        """
        before = self._policy.state(), self._job.rng.bit_generator.state, list(self._to_try)
        try:
            again = self.ask(gpu, knobs.run_id, energy_price=energy_price)
        except TargetNotReached:
            again = None
        if again == knobs:
            return
        self.drop_pending(knobs.run_id)
        self._policy.restore(before[0])
        self._job.rng.bit_generator.state, self._to_try = before[1], before[2]
        self.add_pending(knobs)

    def drop_pending(self, run_id: str) -> None:
        """Wait no longer for a run that says nothing: it was interrupted, or never began."""
        self._job.flights.pending.pop(run_id, None)

    def warm_start(self, profiles: Iterable[PowerProfile], runs: Iterable[tuple[Outcome, Curve]]) -> None:
        """Begin with what an earlier search knew, on this kind of GPU or another.

        Epochs carry over from kind to kind; a profile counts on its own kind alone. What only says
        something of the machine of then is left out: crashes, shared boards, memory that was too small.

        Raises:
            BadInput: there is no target yet, so nobody knows whether those runs would have reached it.
        """
        if self._baseline.wanted:
            raise BadInput("earlier runs need a target to be compared by: give Target(metric, value)")
        for profile in profiles:
            self._job.profiles.add(profile)
        for outcome, curve in runs:
            machines = outcome.shared or outcome.stop in (StopReason.ERROR, StopReason.OUT_OF_MEMORY)
            if not machines and outcome.knobs.batch_size in self._settings.batch_sizes:
                run = Run.of(outcome.knobs, outcome, curve)
                self._job.add(run)
                self._policy.learn(run)

    # --- answering -------------------------------------------------------------------------------

    def power_limit_w(self, batch_size: int, gpu: str = "") -> float | None:
        """The best limit (W) of a batch size on ``gpu`` ("": the last kind); None: it has no profile."""
        profile = self._job.profiles.get(batch_size, gpu)
        return None if profile is None else self._job.limit_w(profile)

    def best(self, eta: float | None = None) -> Best:
        """The best knobs so far with expected cost, energy and time. Another ``eta`` costs no new run.

        Raises:
            BadInput: eta outside 0 to 1.
        """
        if eta is not None and not 0 <= eta <= 1:
            raise BadInput(f"eta is {eta!r}; allowed: 0 (time alone) to 1 (energy alone)")
        return answers.best(self._job, self.eta if eta is None else eta)

    # --- the state -------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything, as plain JSON; :meth:`from_state` continues the very same search."""
        return {
            "version": STATE_VERSION,
            "settings": self._settings.to_dict(),
            "job": self._job.state(),
            "baseline": self._baseline.state(),
            "policy": self._policy.state(),
            "to_try": self._to_try,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The search that :meth:`state` described.

        Raises:
            BadInput: a state of another version.
        """
        if state.get("version") != STATE_VERSION:
            raise BadInput(f"the state has version {state.get('version')!r}; this code reads {STATE_VERSION}")
        search = cls(**Settings.from_dict(state["settings"]).arguments())
        search._restore(state)
        return search

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._job.restore(state["job"])
        self._baseline.restore(state["baseline"], self._job.target)
        self._policy.restore(state["policy"])
        self._to_try = list(state["to_try"])
