"""What every policy satisfies, the registry, and what a search does around them."""

import json
import math

import pytest
from driving import LIMITS_W, SIZES, TARGET, Work, outcome, profile_of

from zeus_ray.errors import BadInput
from zeus_ray.records import Progress, StopReason
from zeus_ray.search import Search
from zeus_ray.search.policies import POLICIES, Choice, Policy


class Fixed(Policy):
    """The smallest batch size, for ever: the least that a policy can be."""

    name = "fixed"

    @property
    def finished(self):
        return bool(self._state.runs)

    def choose(self, gpu):  # noqa: ARG002 — it looks at nothing
        return Choice(batch_size=self._state.sizes[0])

    def should_stop(self, progress, curve):  # noqa: ARG002 — likewise
        return None

    def learn(self, run):
        pass


def make(policy, **options):
    given = {"batch_sizes": SIZES, "default_batch_size": 64, "power_limits_w": LIMITS_W, "target": TARGET}
    return Search(**{**given, "policy": policy, **options})


@pytest.fixture(params=[*POLICIES, "fixed"])
def policy(request, monkeypatch):
    monkeypatch.setitem(POLICIES, "fixed", Fixed)  # one file, and this line
    return request.param


def test_a_policy_is_taken_by_name_or_as_an_instance():
    by_name, by_instance = make("nsdi23"), make(POLICIES["nsdi23"]())
    assert by_name.state() == by_instance.state()
    with pytest.raises(BadInput, match="'zeus-ray'"):
        Search.from_state(make(Fixed()).state())
    assert Search.from_state(make(Fixed()).state(), policy=Fixed()).pending == ()


@pytest.mark.slow
def test_every_policy_drives_a_job_and_is_restored_at_any_point(policy):
    search, work = make(policy, exploration_budget=math.inf), Work()
    for _ in range(12):
        state = json.loads(json.dumps(search.state()))
        knobs = search.ask("V100")
        again = Search.from_state(state)
        assert again.ask("V100") == knobs
        assert knobs.batch_size in SIZES
        work.run(search, knobs)
    assert math.isfinite(search.best().cost.mean)


def test_every_policy_ends_a_search_that_ends(policy):
    search, work = make(policy, recurring=False), Work()
    for _ in range(100):
        knobs = search.ask("V100")
        if knobs is None:
            break
        work.run(search, knobs)
    assert search.finished


def test_no_policy_stops_on_a_metric_that_is_not_a_number(policy):
    search = make(policy)
    knobs = search.ask("V100")
    search.observe_profile(profile_of(64))
    for epoch in (0.0, 0.2, 1.0, 1.5, 2.0):
        assert search.should_stop(Progress(knobs=knobs, epoch=epoch, metric=math.nan, gpu="V100")) is None


def test_the_default_policy_finds_the_best_size_and_stays_there():
    search, work = make("zeus-ray"), Work(noise=0.05)
    asked = []
    for _ in range(30):
        knobs = search.ask("V100")
        asked.append(knobs.batch_size)
        work.run(search, knobs)
    costs = {b: cost_of(b) for b in SIZES}
    assert asked[0] == 64
    assert costs[asked[-1]] <= 1.1 * min(costs.values())
    assert len(set(asked[-5:])) <= 2


def cost_of(size):
    from driving import epochs_at

    _limit_w, power_w, epoch_s = min(profile_of(size).points, key=lambda p: (0.5 * p[1] + 125) * p[2])
    return epochs_at(size) * (0.5 * power_w + 125) * epoch_s


def test_with_one_trial_left_and_nothing_finished_the_default_runs():
    search = make(Fixed(), recurring=False, exploration_budget=math.inf)
    search.set_remaining(trials=1)
    assert search.ask("V100").batch_size == 64
    search.set_remaining(trials=5)
    assert search.ask("V100").batch_size == 16


def test_what_would_not_end_in_time_is_not_explored():
    search, work = make("zeus-ray"), Work()
    work.run(search, search.ask("V100"))
    assert search.ask("V100").batch_size != 64
    search.set_remaining(time_s=1.0)
    assert search.ask("V100").batch_size == 64


def test_at_most_so_much_slower():
    free, bound = (make("zeus-ray", eta=1.0, max_slowdown=slowdown) for slowdown in (None, 1.1))
    for search in (free, bound):
        search.observe_profile(profile_of(64))
    times = {p.power_limit_w: p.time_per_epoch_s for p in profile_of(64).points}
    assert times[bound.power_limit_w(64)] <= 1.1 * min(times.values()) < times[free.power_limit_w(64)]


def test_a_change_of_the_job_is_noticed():
    search = make("zeus-ray", batch_sizes=[64, 128])
    for epochs in [10, 10, 11, 10, 30, 31, 30, 30]:
        knobs = search.ask("V100")
        search.observe_profile(profile_of(knobs.batch_size))
        search.tell(
            outcome(knobs, epochs=float(epochs), time_s=8.0 * epochs, energy_j=900.0 * epochs, gpu="V100")
        )
    assert search.state()["policy"]["drift"][0] >= 4


@pytest.mark.parametrize("stop", [None, StopReason.NOT_WORTH_IT])
def test_a_told_run_without_reports_is_no_problem(stop):
    search = make("zeus-ray")
    search.tell(outcome(search.ask("V100"), gpu="V100"))
    for _ in range(5):
        knobs = search.ask("V100")
        search.tell(outcome(knobs, reached=stop is None, epochs=3.0, stop=stop, gpu="V100"))
    assert search.best().batch_size in SIZES
