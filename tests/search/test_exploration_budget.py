"""The bound on exploration: for every policy, on random jobs and on jobs made to break it."""

import json
import math
import random

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.records import Measurement, Outcome, PowerProfile, ProfilePoint, Progress, StopReason, Target
from zeus_ray.search import Search
from zeus_ray.search.exploration_budget import OVERRUN
from zeus_ray.search.policies import Choice, Policy

SIZES, DEFAULT, TARGET = [8, 16, 32, 64, 128], 32, Target("accuracy", 0.9)
NEEDS = 12
"""Epochs that the default takes, always."""


class RoundRobin(Policy):
    """Explores for ever and never gives a run up: all that bounds it is the budget."""

    name = "round-robin"

    def bind(self, state):
        super().bind(state)
        self.asked = 0

    @property
    def finished(self):
        return False

    def choose(self, gpu):  # noqa: ARG002 — it looks at nothing
        self.asked += 1
        return Choice(batch_size=self._state.sizes[self.asked % len(self._state.sizes)])

    def should_stop(self, progress, curve):  # noqa: ARG002 — likewise
        return None

    def learn(self, run):
        pass

    def state(self):
        return {"asked": self.asked}

    def restore(self, state):
        self.asked = state["asked"]


class Job:
    """One limit, so that a run of the default costs exactly what it would without the search.

    ``kinds``: by size, how its runs go. "good": reaches at a random epoch. "mimic": like the default,
    and stops just below the target. "sometimes": good, or a mimic. "slow": after three times the epochs.
    """

    def __init__(self, search, kinds, prices, seed):
        self.search, self.kinds, self.prices = search, kinds, prices
        self.random = random.Random(seed)  # noqa: S311 — noise, no secret
        self.excess = 0.0
        """Cost beyond the default for every run that reached the target."""
        self.step = max(prices.values())
        self.default_cost = NEEDS * prices[DEFAULT]

    def needs(self, size):
        kind = "default" if size == DEFAULT else self.kinds[size]
        if kind == "mimic" or (kind == "sometimes" and self.random.random() < 0.5):
            return math.inf
        return {"default": NEEDS, "slow": 3 * NEEDS}.get(kind) or self.random.randint(2, 20)

    def run(self, knobs, check):
        """One run, told at its end; ``check`` is called with the excess if the run were stopped there."""
        size, needs = knobs.batch_size, self.needs(knobs.batch_size)
        price = self.prices[size]
        point = ProfilePoint(250.0, 0.0, price / 250.0)
        self.search.observe_profile(
            PowerProfile(batch_size=size, gpu="V100", max_power_w=250.0, points=(point,))
        )
        epoch, stop = 0, None
        while stop is None:
            used = Measurement(energy_j=0.0, time_s=epoch * price / 250.0)
            metric = 0.9 if epoch >= needs else 0.89 * (1 - math.exp(-3 * epoch / min(needs, NEEDS)))
            progress = Progress(knobs=knobs, epoch=epoch, metric=metric, measurement=used, gpu="V100")
            stop = self.search.should_stop(progress)
            if size != DEFAULT and epoch < needs:
                check(self.excess + epoch * price)
            epoch += stop is None
        reached = stop == StopReason.TARGET_REACHED
        if size != DEFAULT:
            self.excess += epoch * price - (self.default_cost if reached else 0.0)
        self.search.tell(
            Outcome(
                knobs=knobs,
                reached=reached,
                epochs=epoch,
                metric=metric,
                measurement=used,
                stop=stop,
                gpu="V100",
            )
        )


def search(policy, budget, **options):
    return Search(
        batch_sizes=SIZES,
        default_batch_size=DEFAULT,
        target=TARGET,
        power_limits_w=[250.0],
        eta=0.0,
        max_epochs=40,
        exploration_budget=budget,
        policy=RoundRobin() if policy == "round-robin" else policy,
        **options,
    )


KINDS = st.fixed_dictionaries(
    {size: st.sampled_from(["good", "mimic", "sometimes", "slow"]) for size in SIZES if size != DEFAULT}
)
PRICES = st.fixed_dictionaries({size: st.floats(50, 200) for size in SIZES})


@pytest.mark.slow
@given(
    policy=st.sampled_from(["zeus-ray", "nsdi23", "round-robin"]),
    budget=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    kinds=KINDS,
    prices=PRICES,
    seed=st.integers(0, 99),
)
@examples(60)
def test_the_total_never_exceeds_the_default_by_more_than_the_budget(policy, budget, kinds, prices, seed):
    job = Job(search(policy, budget), kinds, prices, seed)

    def check(excess):
        assert excess <= (budget + OVERRUN * min(budget, 1.0)) * job.default_cost + 1e-6

    for _ in range(25):
        job.run(job.search.ask("V100"), check)
        check(job.excess)
        report = job.search.exploration()
        assert report.spent_j - report.saved_j <= (1 + OVERRUN) * report.budget_j + 1e-6
        if report.left_j < 0:  # one run has gone beyond the budget: the next is the default
            assert job.search.ask("V100").batch_size == DEFAULT


@pytest.mark.parametrize("policy", ["zeus-ray", "nsdi23", "round-robin"])
def test_mimics_of_the_default_cost_the_budget_and_no_more(policy):
    kinds = dict.fromkeys((8, 16, 64, 128), "mimic")
    job = Job(search(policy, 1.0), kinds, dict.fromkeys(SIZES, 100.0), 0)
    for _ in range(40):
        job.run(job.search.ask("V100"), lambda _excess: None)
    assert job.excess <= (1 + OVERRUN) * job.default_cost
    assert [job.search.ask("V100").batch_size for _ in range(3)] == [DEFAULT] * 3 or policy == "zeus-ray"


@given(budget=st.sampled_from([0.0, 0.05, 0.3, 1.0]), kinds=KINDS, prices=PRICES, seed=st.integers(0, 99))
@examples(100)
def test_a_search_that_ends_does_not_repeat_the_default(budget, kinds, prices, seed):
    job = Job(search("zeus-ray", budget, recurring=False), kinds, prices, seed)
    sizes = []
    while (knobs := job.search.ask("V100")) is not None:
        sizes.append(knobs.batch_size)
        job.run(knobs, lambda _excess: None)
    assert job.search.finished
    assert sizes.count(DEFAULT) == 1
    assert len(sizes) <= 2 * len(SIZES)


def test_without_a_bound_nothing_is_stopped():
    job = Job(
        search("round-robin", math.inf),
        dict.fromkeys((8, 16, 64, 128), "mimic"),
        dict.fromkeys(SIZES, 100.0),
        0,
    )
    for _ in range(10):
        job.run(job.search.ask("V100"), lambda _excess: None)
    assert job.excess > 4 * job.default_cost


def test_before_the_default_has_finished_others_cost_a_share_of_it():
    searching = search("round-robin", 1.0, points_to_evaluate=[DEFAULT])
    default = searching.ask("V100")
    assert default.batch_size == DEFAULT
    searching.observe_profile(profile(DEFAULT))
    assert (
        searching.ask("V100").batch_size == DEFAULT
    )  # nothing has been spent that others may have a share of
    report(searching, default, 6)
    other = next(knobs for _ in range(3) if (knobs := searching.ask("V100")).batch_size != DEFAULT)
    searching.observe_profile(profile(other.batch_size))
    stops = [report(searching, other, epoch) for epoch in (1, 2, 3)]
    assert stops == [None, None, StopReason.COST_CAP]  # the next epoch would be more than half of six


def profile(size):
    points = (ProfilePoint(250.0, 0.0, 1.0),)
    return PowerProfile(batch_size=size, gpu="V100", max_power_w=250.0, points=points)


def report(searching, knobs, epoch):
    used = Measurement(energy_j=0.0, time_s=float(epoch))
    return searching.should_stop(Progress(knobs=knobs, epoch=epoch, metric=0.1, measurement=used, gpu="V100"))


def test_a_saving_of_the_power_limit_can_be_spent():
    searching = search("zeus-ray", 0.0)
    knobs = searching.ask("V100")
    points = (ProfilePoint(250.0, 0.0, 1.0), ProfilePoint(200.0, 0.0, 0.8))
    searching.observe_profile(PowerProfile(batch_size=DEFAULT, gpu="V100", max_power_w=250.0, points=points))
    used = Measurement(energy_j=0.0, time_s=8.0)
    searching.tell(Outcome(knobs=knobs, reached=True, epochs=10.0, metric=0.9, measurement=used, gpu="V100"))
    account = searching.exploration()
    assert account.default_cost_j == pytest.approx(10 * 250.0)
    assert account.saved_j == pytest.approx(2 * 250.0)
    assert account.left_j == pytest.approx(2 * 250.0)
    assert [(run.run_id, run.spent_j) for run in account.runs] == [("1", 0.0)]


def test_the_account_survives_a_restart():
    job = Job(
        search("round-robin", 1.0), dict.fromkeys((8, 16, 64, 128), "good"), dict.fromkeys(SIZES, 100.0), 3
    )
    for _ in range(6):
        job.run(job.search.ask("V100"), lambda _excess: None)
    state = json.loads(json.dumps(job.search.state()))
    again = Search.from_state(state, policy=RoundRobin())
    assert again.exploration() == job.search.exploration()


def test_a_default_that_never_gets_there_bounds_nothing():
    searching = search("zeus-ray", 0.5)
    knobs = searching.ask("V100")
    used = Measurement(energy_j=0.0, time_s=40.0)
    stop = StopReason.MAX_EPOCHS
    searching.tell(
        Outcome(knobs=knobs, reached=False, epochs=40.0, metric=0.5, measurement=used, stop=stop, gpu="V100")
    )
    assert searching.ask("V100").batch_size != DEFAULT
