"""The facade: what it accepts, remembers, and never does."""

import dataclasses
import json
import math

import pytest
from driving import LIMITS_W, SIZES, TARGET, Work, epochs_at, outcome, profile_of
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput, TargetNotReached
from zeus_ray.records import Measurement, PowerProfile, Progress, StopReason, Target
from zeus_ray.search import Search

POLICIES = ("zeus-ray", "nsdi23")


def make(**options):
    defaults = {
        "batch_sizes": SIZES,
        "default_batch_size": 64,
        "power_limits_w": LIMITS_W,
        "target": TARGET,
    }
    return Search(**{**defaults, **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_sizes": []}, "no batch sizes"),
        ({"batch_sizes": [64, 0]}, "0"),
        ({"batch_sizes": [64, -1]}, "-1"),
        ({"batch_sizes": [64, 0.5]}, "0.5"),
        ({"batch_sizes": [64, True]}, "True"),
        ({"batch_sizes": [64, "a"]}, "'a'"),
        ({"batch_sizes": [64, 64]}, "more than once"),
        ({"default_batch_size": 65}, "65 is not among"),
        ({"eta": -0.1}, "eta"),
        ({"eta": 1.1}, "eta"),
        ({"eta": math.nan}, "eta"),
        ({"beta": 1.0}, "beta"),
        ({"beta": math.nan}, "beta"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"max_power_w": 0.0}, "max_power_w"),
        ({"max_power_w": math.inf}, "max_power_w"),
        ({"power_limits_w": []}, "empty"),
        ({"power_limits_w": [100.0, -5.0]}, "-5 W"),
        ({"power_limits_w": [100.0, math.nan]}, "nan W"),
        ({"power_limits_w": [100.0, 100.0]}, "more than once"),
        ({"power_limits_w": [300.0], "max_power_w": 250.0}, "250 W"),
        ({"gpus": 0}, "gpus"),
        ({"horizon_runs": 0}, "horizon_runs"),
        ({"horizon_runs": 1.5}, "horizon_runs"),
        ({"seed": -1}, "seed"),
        ({"tolerance": 1.0}, "tolerance"),
        ({"window": 0}, "window"),
        ({"target": 0.9}, "target"),
        ({"points_to_evaluate": [65]}, "65"),
        ({"policy": "magic"}, "'zeus-ray' or 'nsdi23'"),
        ({"exploration_budget": -1.0}, "exploration_budget"),
        ({"exploration_budget": math.nan}, "exploration_budget"),
        ({"max_slowdown": 0.9}, "max_slowdown"),
    ],
)
def test_bad_input_names_what_was_given(options, words):
    with pytest.raises(BadInput, match=words):
        make(**options)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("recurring", [True, False])
def test_a_space_of_one_is_sensible(policy, recurring):
    search = make(batch_sizes=[64], policy=policy, recurring=recurring)
    work = Work()
    for _ in range(60):
        knobs = search.ask()
        if knobs is None:
            break
        assert knobs.batch_size == 64
        work.run(search, knobs)
    assert search.finished is not recurring
    assert search.best().batch_size == 64


@pytest.mark.parametrize("policy", POLICIES)
def test_without_limits_the_first_run_profiles_the_boards_own_range(policy):
    knobs = make(power_limits_w=None, policy=policy).ask()
    assert (knobs.power_limit_w, knobs.probe_limits_w) == (None, None)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_where_nothing_can_be_profiled_it_is_not_asked_for_ever(policy):
    search = make(policy=policy)
    work = Work(profiles=False)
    asked = {}
    for _ in range(40):
        knobs = search.ask()
        asked.setdefault(knobs.batch_size, []).append(knobs.probe_limits_w)
        work.run(search, knobs)
    assert all(probes[1:] == [()] * (len(probes) - 1) for probes in asked.values())


@pytest.mark.parametrize("policy", POLICIES)
def test_without_energy_the_search_goes_on_by_time(policy):
    search = make(policy=policy, recurring=False, eta=1.0)
    times = dict(zip(SIZES, (50.0, 40.0, 30.0, 20.0, 30.0), strict=True))
    for _ in range(80):
        knobs = search.ask()
        if knobs is None:
            break
        search.tell(outcome(knobs, energy_j=math.nan, time_s=times[knobs.batch_size]))
    assert search.finished
    assert search.best().batch_size == 128


def test_tell_goes_by_run_id():
    search = make()
    knobs = search.ask()
    search.tell(outcome(knobs))
    before = json.dumps(search.state())
    search.tell(outcome(knobs, energy_j=1.0))
    search.add_pending(knobs)
    assert json.dumps(search.state()) == before
    assert search.pending == ()


def test_a_run_that_the_search_forgot_can_be_adopted():
    search = make()
    state = search.state()
    knobs = search.ask()
    again = Search.from_state(state)
    again.add_pending(knobs)
    assert again.pending == search.pending
    assert again.ask().run_id != knobs.run_id


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_out_of_memory_is_never_tried_again_nor_anything_larger(policy):
    search = make(policy=policy)
    work = Work()
    for _ in range(60):
        knobs = search.ask()
        if knobs.batch_size >= 128:
            search.tell(outcome(knobs, reached=False, stop=StopReason.OUT_OF_MEMORY))
            break
        work.run(search, knobs)
    later = set()
    for _ in range(60):
        knobs = search.ask()
        later.add(knobs.batch_size)
        work.run(search, knobs)
    assert max(later) < 256
    assert search.best().batch_size < 256


@pytest.mark.parametrize("policy", POLICIES)
def test_one_crash_is_not_charged_to_the_batch_size_and_two_in_a_row_are(policy):
    search = make(policy=policy)
    first = search.ask()
    search.tell(outcome(first, reached=False, stop=StopReason.ERROR))
    second = search.ask()
    assert second.batch_size == first.batch_size == 64
    search.tell(outcome(second, reached=False, stop=StopReason.ERROR))
    assert search.ask().batch_size != 64


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("stop", [StopReason.ERROR, StopReason.OUT_OF_MEMORY, StopReason.COST_CAP, None])
def test_a_search_where_nothing_works_ends(policy, stop):
    search = make(policy=policy, recurring=False)
    for _ in range(300):
        knobs = search.ask()
        if knobs is None:
            break
        search.tell(outcome(knobs, reached=False, energy_j=math.nan, time_s=math.nan, stop=stop))
    assert search.finished
    assert search.best().batch_size == 64


@pytest.mark.parametrize("policy", POLICIES)
def test_a_shared_board_credits_no_arm(policy):
    search = make(policy=policy)
    search.tell(outcome(search.ask(), energy_j=1.0, time_s=0.1, shared=True))
    assert search.ask().batch_size == 64
    assert math.isnan(search.best().cost.mean)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_search_on_shared_boards_alone_ends(policy):
    search = make(policy=policy, recurring=False)
    for _ in range(200):
        knobs = search.ask()
        if knobs is None:
            break
        search.tell(outcome(knobs, shared=True))
    assert search.finished


def progress(knobs, epoch, metric):
    used = Measurement(energy_j=100.0 * epoch, time_s=epoch)
    return Progress(knobs=knobs, epoch=epoch, metric=metric, measurement=used)


def test_what_the_default_reaches_becomes_the_target_and_counts_up_to_there():
    search = make(target=None, tolerance=0.01)
    knobs = search.ask()
    assert (knobs.batch_size, knobs.cost_cap) == (64, math.inf)
    assert search.ask() is None
    for epoch, metric in enumerate([0.1, 0.5, 0.895, 0.9, 0.9], 1):
        assert search.should_stop(progress(knobs, epoch, metric)) is None
    search.tell(outcome(knobs, reached=False, epochs=5, energy_j=500.0, time_s=5.0))
    assert search.target.value == pytest.approx(0.891)
    assert search.best().energy_j.mean == 300.0
    assert search.ask() is not None


def test_a_lower_is_better_target_gives_way_upwards():
    search = make(target=Target("loss", mode="min"), tolerance=0.1)
    search.tell(outcome(search.ask()))
    assert search.target.value == pytest.approx(0.99)


def test_a_default_that_fails_twice_is_an_error():
    search = make(target=None)
    for _ in range(2):
        search.tell(outcome(search.ask(), reached=False, stop=StopReason.ERROR))
    with pytest.raises(TargetNotReached, match="2 times"):
        search.ask()


@pytest.mark.parametrize(
    ("epoch", "metric", "stop"),
    [
        (3, 0.9, StopReason.TARGET_REACHED),
        (3, 0.89, None),
        (3, math.nan, None),
        (3, -math.inf, None),
        (7, 0.1, StopReason.MAX_EPOCHS),
        (7, 0.95, StopReason.TARGET_REACHED),
    ],
)
def test_a_run_stops_at_the_target_or_the_last_epoch(epoch, metric, stop):
    search = make(max_epochs=7)
    assert search.should_stop(progress(search.ask(), epoch, metric)) == stop


def test_another_kind_of_gpu_has_its_own_limit():
    search = make()
    search.observe_profile(profile_of(64, gpu="V100"))
    search.observe_profile(profile_of(64, limits=(150.0,), gpu="P100"))
    assert search.power_limit_w(64, gpu="P100") == 150.0
    assert search.power_limit_w(64, gpu="A40") is None
    assert search.ask(gpu="P100").power_limit_w == 150.0
    assert search.ask().power_limit_w is None  # the kind of GPU is not known: the run looks it up


def test_a_profile_of_nothing_changes_nothing():
    search = make()
    search.observe_profile(PowerProfile(batch_size=64, gpu="V100", max_power_w=math.nan, points=()))
    assert search.profiles == ()


def test_another_eta_is_answered_without_another_run():
    search = make()
    work = Work(noise=0.0)
    for _ in range(12):
        work.run(search, search.ask())
    fast, frugal = search.best(eta=0.0), search.best(eta=1.0)
    assert fast.time_s.mean < frugal.time_s.mean
    assert frugal.energy_j.mean < fast.energy_j.mean
    assert fast.cost.low < fast.cost.mean < fast.cost.high
    with pytest.raises(BadInput, match="eta"):
        search.best(eta=2.0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "tell", "fail", "error", "profile", "stop"]), st.integers(0, 9))
)


def test_the_epochs_of_a_baseline_count_and_its_cost_is_not_in_the_account():
    """Each epoch costs what the profile says."""
    search = make()
    knobs = search.ask()
    search.observe_profile(profile_of(knobs.batch_size))
    search.tell(outcome(knobs, epochs=10.0, gpu="V100"))
    alone, account = search.best(), search.exploration()
    search.tell_baseline(outcome(dataclasses.replace(knobs, run_id="baseline"), epochs=14.0), ())
    both = search.best()
    assert (alone.runs, both.runs) == (1, 2)
    assert both.energy_j.mean == pytest.approx(1.2 * alone.energy_j.mean)
    costs = {(c.batch_size, c.power_limit_w): c.cost.mean for c in search.expected_costs()}
    assert costs[both.batch_size, both.power_limit_w] == pytest.approx(both.cost.mean)
    assert search.exploration() == account
    assert Search.from_state(search.state()).best() == both


def play(search, steps):
    """Any interleaving of calls; what was asked."""
    asked = []
    flights = []
    for step, number in steps:
        if step == "ask":
            flights.append(search.ask())
            asked.append(flights[-1])
            continue
        if not flights:
            continue
        knobs = flights[number % len(flights)]
        if step == "profile":
            search.observe_profile(profile_of(knobs.batch_size))
        elif step == "stop":
            search.should_stop(progress(knobs, number, 0.1 * number))
        elif step == "tell":
            search.tell(outcome(knobs, energy_j=100.0 + 10 * number))
        else:
            stop = StopReason.ERROR if step == "error" else StopReason.COST_CAP
            search.tell(outcome(knobs, reached=False, stop=stop))
    return asked


@given(steps=STEPS, more=STEPS, policy=st.sampled_from(POLICIES))
@examples(25)
def test_a_restored_search_asks_what_the_first_would_have_asked(steps, more, policy):
    search = make(policy=policy, seed=3)
    play(search, steps)
    state = json.loads(json.dumps(search.state()))
    twins = [Search.from_state(state), Search.from_state(state)]
    follow = [("ask", 0), *more, ("ask", 0), ("ask", 0)]
    expected = play(search, follow)
    assert [play(twin, follow) for twin in twins] == [expected, expected]
    assert json.dumps(twins[0].state()) == json.dumps(search.state())


def test_a_state_of_another_version_is_refused():
    with pytest.raises(BadInput, match="version"):
        Search.from_state({**make().state(), "version": 0})


@pytest.mark.parametrize("policy", POLICIES)
def test_points_to_evaluate_run_first_in_their_order(policy):
    search, work = make(policy=policy, points_to_evaluate=[256, 16, 256]), Work()
    seen = []
    for _ in range(3):
        knobs = search.ask()
        seen.append(knobs.batch_size)
        search = Search.from_state(json.loads(json.dumps(search.state())))
        work.run(search, knobs)
    assert seen == [256, 16, 256]


def test_points_to_evaluate_wait_for_the_default_to_set_a_target():
    search = make(target=Target("accuracy"), points_to_evaluate=[256])
    knobs = search.ask()
    assert knobs.batch_size == 64
    search.tell(outcome(knobs))
    assert search.ask().batch_size == 256


def test_a_search_that_ends_has_tried_its_points():
    search, work = make(recurring=False, points_to_evaluate=[16, 256]), Work()
    seen = []
    while (knobs := search.ask()) is not None:
        seen.append(knobs.batch_size)
        work.run(search, knobs)
    assert seen[:2] == [16, 256]
    assert search.finished


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_another_life_that_is_told_what_was_asked_asks_the_same(policy):
    one, two, work = make(policy=policy, seed=5), make(policy=policy, seed=5), Work()
    for _ in range(25):
        knobs = one.ask("V100")
        two.replay_ask(knobs, "V100")
        state = work.random.getstate()
        work.run(one, knobs)
        work.random.setstate(state)
        work.run(two, knobs)
    assert two.ask("V100") == one.ask("V100")
    assert two.state() == one.state()


def test_what_was_asked_stands_where_today_something_else_would_be():
    search = make()
    knobs = search.ask()
    search.drop_pending(knobs.run_id)
    other = dataclasses.replace(knobs, run_id="x", batch_size=256)
    search.replay_ask(other, "V100")
    assert search.pending == ("x",)
    search.tell(outcome(other))
    assert search.best().batch_size == 256


def test_a_warm_start_knows_epochs_of_any_gpu_and_profiles_of_its_own():
    old, work = make(), Work(noise=0.0)
    runs = []
    for _ in range(8):
        knobs = old.ask()
        work.run(old, knobs)
        runs.append((outcome(knobs, epochs=epochs_at(knobs.batch_size), gpu="V100"), ()))
    profiles = old.profiles
    for gpu, known in (("V100", True), ("A100", False), ("", False)):
        search = make()
        search.warm_start(profiles, runs)
        knobs = search.ask(gpu)
        assert (knobs.power_limit_w is not None) is known
        assert search.pending == (knobs.run_id,)


def test_a_warm_start_leaves_out_what_the_machine_of_then_is_to_blame_for():
    search = make()
    ends = [{"stop": StopReason.ERROR}, {"stop": StopReason.OUT_OF_MEMORY}, {"shared": True}]
    blamed = [outcome(make().ask(), reached=False, **end) for end in ends]
    search.warm_start([], [(end, ()) for end in blamed])
    assert search.state() == make().state()


def test_a_warm_start_needs_a_target():
    with pytest.raises(BadInput, match="target"):
        make(target=Target("accuracy")).warm_start([], [])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_cap_goes_by_what_runs_really_cost_beside_their_epochs(policy):
    """Starting up, loading, evaluating: a hundred times what the epochs of the profile should take."""
    search = make(policy=policy, batch_sizes=[64], beta=2.0)
    for _ in range(3):
        knobs = search.ask("V100")
        search.observe_profile(profile_of(64))
        told = outcome(knobs, epochs=1.0, energy_j=1e6, time_s=1e4, gpu="V100")
        assert knobs.cost_cap >= 1.99 * search.cost(told.measurement)
        search.tell(told)
        search = Search.from_state(json.loads(json.dumps(search.state())))
    assert math.isfinite(search.ask("V100").cost_cap) or policy == "zeus-ray"
