"""The default policy: that it is frugal, stops what is not worth it, and never gets stuck."""

import dataclasses
import json
import math

import numpy as np
import pytest
from driving import LIMITS_W, SIZES, TARGET, Work, outcome, profile_of
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.decide import Search, value
from zeus_ray.decide.curves import Forecast, at_least, forecast, relative
from zeus_ray.decide.epochs import Observation, believe, epochs_family, never, noise_sd
from zeus_ray.decide.memory import Memory
from zeus_ray.records import Measurement, Progress, StopReason, Target


def make(**options):
    defaults = {
        "batch_sizes": SIZES,
        "default_batch_size": 256,
        "power_limits_w": LIMITS_W,
        "target": TARGET,
    }
    return Search(**{**defaults, **options})


def recur(search, work, runs):
    """Batch sizes of the tries that each run of a recurring job took."""
    tries = []
    for _ in range(runs):
        tries.append([])
        for _ in range(20):
            knobs = search.ask()
            tries[-1].append(knobs.batch_size)
            if work.run(search, knobs):
                break
    return tries


def test_the_default_runs_first_and_the_best_is_found_within_few_runs():
    search = make()
    tries = recur(search, Work(noise=0.05), 12)
    assert tries[0][0] == 256
    assert sum(map(len, tries[1:])) <= 14
    assert {sizes[-1] for sizes in tries[-4:]} <= {32, 64}


def test_a_job_that_stumbles_is_done_by_the_best_known_next():
    search = make(default_batch_size=64)
    tries = recur(search, Work(fails={16, 32, 128, 256}), 30)
    assert {sizes[-1] for sizes in tries} == {64}
    assert max(map(len, tries[1:])) <= 3


@pytest.mark.parametrize("fails", [{256}, {256, 128}, {16, 32, 64, 128}, set(SIZES)])
def test_a_default_that_fails_is_no_dead_end(fails):
    tries = recur(make(max_epochs=40), Work(fails=fails), 8)
    assert tries[-1][-1] not in fails or fails == set(SIZES)


@given(noise=st.floats(0, 0.4), seed=st.integers(0, 99), default=st.sampled_from(SIZES), data=st.data())
@examples(30)
def test_the_first_run_ends_well_whatever_is_looked_at_on_the_way(noise, seed, default, data):
    fails = data.draw(st.sets(st.sampled_from([b for b in SIZES if b != default])))
    search = make(default_batch_size=default, seed=seed)
    tries = recur(search, Work(noise=noise, seed=seed, fails=fails), 1)[0]
    assert tries[0] == default
    assert tries[-1] not in fails
    assert len(tries) <= 14


def test_a_default_far_too_dear_is_left_early_and_costs_a_fraction():
    spent = {}
    for policy in ("zeus-ray", "nsdi23"):
        search = make(default_batch_size=256, batch_sizes=[32, 256], policy=policy)
        slow = {32: 5.0, 256: 100.0}
        spent[policy] = 0.0
        for _ in range(20):
            knobs = search.ask()
            reached, cost = _at_this_pace(search, knobs, slow[knobs.batch_size])
            spent[policy] += cost
            if reached:
                break
        assert reached
    assert spent["zeus-ray"] < 0.3 * spent["nsdi23"]


def _at_this_pace(search, knobs, needs):
    """Run until the target at ``needs`` epochs: whether it got there, and its cost."""
    search.observe_profile(profile_of(knobs.batch_size, knobs.probe_limits_w or LIMITS_W))
    stop, epoch = None, 0
    while stop is None:
        used = Measurement(energy_j=2000.0 * epoch, time_s=10.0 * epoch)
        metric = min(0.9, 0.9 * math.sqrt(epoch / needs))
        shown = Progress(knobs=knobs, epoch=epoch, metric=metric, measurement=used, gpu="V100")
        stop, epoch = search.should_stop(shown), epoch + 1
    reached = stop == StopReason.TARGET_REACHED
    told = outcome(knobs, reached=reached, epochs=epoch - 1.0, energy_j=used.energy_j, time_s=used.time_s)
    search.tell(dataclasses.replace(told, stop=stop, gpu="V100"))
    return reached, search.cost(used)


def test_a_search_is_the_same_when_it_is_saved_in_the_middle_of_the_first_run():
    search = make()
    knobs = search.ask()
    search.observe_profile(profile_of(256))
    for epoch in range(1, 40):
        used = Measurement(energy_j=2000.0 * epoch, time_s=10.0 * epoch)
        shown = Progress(knobs=knobs, epoch=epoch, metric=0.02 * epoch, measurement=used, gpu="V100")
        twin = Search.from_state(json.loads(json.dumps(search.state())))
        stop = search.should_stop(shown)
        assert twin.should_stop(shown) == stop
        if stop:
            break
    assert stop == StopReason.NOT_WORTH_IT
    told = outcome(knobs, reached=False, epochs=epoch, stop=stop, gpu="V100")
    search.tell(told)
    twin.tell(told)
    assert twin.ask() == search.ask()


def test_when_nothing_works_the_default_runs_as_the_board_was_found():
    search = make(max_epochs=40)
    recur(search, Work(fails=SIZES), 1)
    knobs = search.ask()
    assert (knobs.batch_size, knobs.power_limit_w, knobs.probe_limits_w) == (256, None, ())


def test_a_job_that_changes_is_followed():
    search, before = make(seed=1), Work(noise=0.05)
    recur(search, before, 20)
    after = Work(fails={32, 64}, noise=0.05)
    assert {sizes[-1] for sizes in recur(search, after, 15)[-4:]}.isdisjoint({32, 64})


def test_known_to_be_worse_is_stopped_early():
    search = make()
    knobs = search.ask()
    search.observe_profile(profile_of(256))
    search.tell(outcome(knobs, epochs=10.0, energy_j=20_000.0, time_s=100.0, gpu="V100"))
    trial = search.ask()
    search.observe_profile(profile_of(trial.batch_size))
    stops = []
    for epoch in range(1, 100):
        used = Measurement(energy_j=2000.0 * epoch, time_s=10.0 * epoch)
        stops.append(
            search.should_stop(Progress(knobs=trial, epoch=epoch, metric=0.1, measurement=used, gpu="V100"))
        )
        if stops[-1]:
            break
    assert stops[-1] in (StopReason.NOT_WORTH_IT, StopReason.COST_CAP)
    assert len(stops) <= 40


def test_later_batch_sizes_probe_only_limits_that_may_pay():
    limits = tuple(float(w) for w in range(100, 301, 10))
    search = make(power_limits_w=limits)
    first = search.ask()
    assert first.probe_limits_w == tuple(sorted(limits, reverse=True))
    search.observe_profile(profile_of(256, limits))
    search.tell(outcome(first, gpu="V100"))
    later = search.ask()
    assert later.batch_size != 256
    assert 0 < len(later.probe_limits_w) < len(limits)
    assert search.power_limit_w(256) in later.probe_limits_w


def test_concurrent_trials_of_a_search_that_ends_differ():
    search = make(recurring=False)
    first = search.ask()
    search.observe_profile(profile_of(256))
    search.tell(outcome(first, gpu="V100"))
    asked = [search.ask() for _ in range(3)]
    sizes = [knobs.batch_size for knobs in asked if knobs is not None]
    assert len(set(sizes)) == len(sizes) >= 1
    assert not search.finished


def shows(search, knobs, epoch, metric):
    """A run that is at this epoch: what the search says to that."""
    profile = profile_of(knobs.batch_size)
    _w, power_w, epoch_s = profile.points[0]
    used = Measurement(energy_j=power_w * epoch_s * epoch, time_s=epoch_s * epoch)
    return search.should_stop(Progress(knobs=knobs, epoch=epoch, metric=metric, measurement=used, gpu="V100"))


def test_a_search_that_ends_begins_alone_then_looks_at_several_at_once():
    search = make(recurring=False)
    first = search.ask()
    assert search.ask() is None
    assert not search.finished
    search.observe_profile(profile_of(256))
    assert shows(search, first, 1, 0.1) in (None, StopReason.NOT_WORTH_IT)
    looks = [search.ask() for _ in range(2)]
    assert len({knobs.batch_size for knobs in (first, *looks)}) == 3


@pytest.mark.parametrize(("recurring", "reaches"), [(True, True), (False, False)])
def test_a_dearer_run_that_is_nearly_there_is_finished_where_somebody_waits_for_it(recurring, reaches):
    search = make(recurring=recurring, default_batch_size=64)
    first = search.ask()
    search.observe_profile(profile_of(64))
    _w, power_w, epoch_s = profile_of(64).points[0]
    for epoch in range(1, 21):
        shows(search, first, epoch, 0.045 * epoch)
    search.tell(outcome(first, epochs=20.0, energy_j=power_w * epoch_s * 20, time_s=epoch_s * 20, gpu="V100"))
    search._to_try = [128]
    second = search.ask()
    search.observe_profile(profile_of(128))
    stops = [shows(search, second, epoch, 0.045 * epoch / 1.5) for epoch in range(1, 32)]
    said = [stop for stop in stops if stop]
    assert said[0] == (StopReason.TARGET_REACHED if reaches else StopReason.NOT_WORTH_IT)


def test_of_two_runs_in_flight_that_are_as_far_one_is_finished():
    """To finish either costs less than a fresh run of the other; to finish both is more than is needed."""
    search = make(recurring=False, max_epochs=20)
    first = search.ask()
    search.observe_profile(profile_of(256))
    shows(search, first, 1, 0.1)
    second = search.ask()
    search.observe_profile(profile_of(second.batch_size))
    for epoch in range(1, 9):  # neither is stopped, whatever is said
        stops = [shows(search, knobs, epoch, 0.1 * epoch) for knobs in (first, second)]
    assert sorted(stops, key=str) == [None, StopReason.NOT_WORTH_IT]


def test_what_was_waited_for_in_vain_counts_as_failing():
    search = make(default_batch_size=64, recurring=False)
    first = search.ask()
    search.observe_profile(profile_of(64))
    for epoch in range(1, 10):
        shows(search, first, epoch, 0.1 * epoch)
    search.tell(outcome(first, epochs=9.0, energy_j=9_000.0, time_s=90.0, gpu="V100"))
    likely = {}
    for waited in (5, 60):
        again = Search.from_state(json.loads(json.dumps(search.state())))
        again._to_try = [128]
        knobs = again.ask()
        again.observe_profile(profile_of(128))
        for epoch in range(1, waited):  # at first well, then slower and slower, from 40 on no further
            shows(again, knobs, epoch, min(0.85 * epoch / 20, 0.85 + 0.04 * (min(epoch, 40) - 20) / 20))
        stopped = {"reached": False, "stop": StopReason.NOT_WORTH_IT, "gpu": "V100"}
        again.tell(outcome(knobs, epochs=float(waited), **stopped))
        beliefs = again._policy._beliefs
        outlook = beliefs.look("V100")
        likely[waited] = beliefs.fails(outlook)[outlook.column(128)]
    assert likely[5] < 0.2
    assert likely[60] > 0.6


def test_a_profile_that_was_cut_short_is_gone_on_with_and_given_up_where_nothing_comes():
    search = make(recurring=False)
    first = search.ask()
    search.observe_profile(profile_of(256))
    search.tell(outcome(first, epochs=40.0, energy_j=40_000.0, time_s=400.0, gpu="V100"))
    probing = search.ask()
    size, limits = probing.batch_size, probing.probe_limits_w
    best_w = search.power_limit_w(256)
    assert limits[0] == best_w  # the most promising first
    search.observe_profile(profile_of(size, limits[:1]))
    stopped = {"reached": False, "epochs": 1.0, "stop": StopReason.NOT_WORTH_IT, "gpu": "V100"}
    search.tell(outcome(probing, **stopped))
    for _ in range(2):
        again = Search.from_state(json.loads(json.dumps(search.state())))
        again._to_try = [size]
        assert again.ask().probe_limits_w == limits[1:]  # as often as one looks
    search._to_try = [size]
    rest = search.ask()
    assert rest.power_limit_w is None
    search.tell(outcome(rest, **stopped))  # the board took none of them
    search._to_try = [size]
    assert search.ask().power_limit_w == limits[0]


def test_out_of_memory_of_all_that_worked_is_survived():
    search = make(default_batch_size=64)
    search.tell(outcome(search.ask(), gpu="V100"))
    flying = [search.ask() for _ in range(2)]
    search.tell(outcome(flying[0], reached=False, stop=StopReason.OUT_OF_MEMORY))
    while (knobs := search.ask()).batch_size > 16:
        search.tell(outcome(knobs, reached=False, stop=StopReason.OUT_OF_MEMORY))
    assert knobs.batch_size == 16


@given(noise=st.floats(0, 0.4), seed=st.integers(0, 99), default=st.sampled_from(SIZES))
@examples(12)
def test_a_search_that_ends_is_short_and_right(noise, seed, default):
    search = make(recurring=False, default_batch_size=default, seed=seed)
    work = Work(noise=noise, seed=seed)
    runs = 0
    while (knobs := search.ask()) is not None:
        work.run(search, knobs)
        runs += 1
        assert runs < 60
    assert search.finished
    assert not math.isnan(search.best().cost.mean)


# --- the parts -------------------------------------------------------------------------------------


@given(mean=st.floats(0.1, 10), sd=st.floats(0.01, 1), than=st.floats(0.1, 10))
@examples(30)
def test_expected_saving_is_that_of_draws(mean, sd, than):
    draws = mean * np.exp(sd * np.random.default_rng(0).standard_normal(40_000) - sd**2 / 2)
    expected = np.maximum(0, than - draws).mean()
    assert value.expected_saving(np.array([mean]), np.array([sd]), than)[0] == pytest.approx(
        expected, abs=0.05
    )


@pytest.mark.parametrize("beyond", [0.0, 5.0, 10.0, 20.0, 1000.0])
def test_a_run_that_goes_on_takes_longer_than_it_has(beyond):
    mean, survives = value.mean_beyond(math.log(10), 0.3, beyond)
    assert mean > beyond
    assert 0 <= survives <= 1


@pytest.mark.parametrize(
    ("curve", "mode", "epochs"),
    [
        (((2, 0.3), (4, 0.5)), "max", 10 * 4 / 5),  # what took 5 of 10 epochs took 4
        (((10, 0.5),), "max", 20.0),
        ((), "max", None),
        (((1, 0.99),), "max", None),  # the other never showed that
        (((4, -0.5),), "min", 8.0),
    ],
)
def test_a_learning_curve_tells_how_far_a_run_is(curve, mode, epochs):
    sign = 1 if mode == "max" else -1
    past = [(tuple((e, sign * 0.1 * e) for e in range(1, 10)), 10.0)]
    seen = forecast(curve, past, Target("metric", 0.9, mode))
    assert (seen and math.exp(seen.log_epochs)) == (epochs and pytest.approx(epochs))


@pytest.mark.parametrize(
    ("curve", "epoch", "ratio"),
    [
        (((2, 0.2), (4, 0.4)), 4, 1.0),  # as fast
        (((2, 0.4),), 2, 0.5),
        (((1, 0.1), (2, 1.9)), 2, 0.2),  # by what both have shown: the other's last
        (((4, 0.2),), 30, 10.0),  # and has stood still: the other was better after 3
        ((), 9, None),
    ],
)
def test_two_learning_curves_tell_how_much_slower_one_is(curve, epoch, ratio):
    other = tuple((e, 0.1 * e) for e in range(1, 11))
    seen = relative(curve, epoch, other, Target("metric", 2.0), math.log(20))
    assert (seen and math.exp(seen.log_epochs)) == (ratio and pytest.approx(ratio))


@pytest.mark.parametrize(
    ("curve", "epoch", "needed"),
    [
        (((3, 0.2), (9, 0.4)), 9, 24.0),  # 0.2 in 6 epochs: 0.5 more in 15
        (((4, 0.2), (8, 0.4)), 7, 0.0),  # too young
        (((2, 0.2),), 20, math.inf),  # has stood still
        ((), 20, 0.0),
    ],
)
def test_a_run_needs_at_least_what_its_recent_pace_says(curve, epoch, needed):
    assert at_least(curve, epoch, TARGET) == pytest.approx(needed)


def test_a_curve_out_of_all_proportion_says_that_a_run_never_gets_there():
    sizes = [16, 32, 64]
    seen = [Observation(32, math.log(10), 0.0, 0)]
    noise = noise_sd(sizes, seen)
    belief = believe(epochs_family(sizes), sizes, seen, noise, 0)

    def chance(epochs):
        says = Forecast(math.log(epochs), 0.1)
        return never(belief, 2, noise, says, prior=0.05, max_epochs=200)

    assert chance(10) < 0.05 < chance(50) < chance(300)
    assert chance(300) > 0.9
    assert never(belief, 2, noise, None, prior=0.05, max_epochs=200) == 0.05


@pytest.mark.parametrize("shift", [-3, 3])
def test_a_shift_is_noticed_within_few_runs_and_noise_is_not(shift):
    random, memory = np.random.default_rng(0), Memory()
    for _ in range(100):
        memory.reach(64, math.exp(3 + 0.1 * random.normal()), (3.0, 0.1))
    assert memory.changed_at == 0
    for _ in range(4):
        memory.reach(64, math.exp(3 + 0.1 * shift), (3.0, 0.1))
    assert memory.changed_at >= 95


def test_epochs_between_two_batch_sizes_are_between_and_less_sure():
    sizes = [16, 32, 64, 128, 256]
    seen = [Observation(b, math.log(e), 0.0, i) for i, (b, e) in enumerate([(32, 10), (128, 20)] * 3)]
    belief = believe(epochs_family(sizes), sizes, seen, noise_sd(sizes, seen), 0)
    low, between, high = (math.exp(belief.mean[i]) for i in (1, 2, 3))
    assert low < between < high
    assert belief.var[2] > max(belief.var[1], belief.var[3])
    assert belief.var[4] > belief.var[3]


def test_noise_is_learned_from_repeated_runs():
    def noise(spread):
        logs = np.random.default_rng(0).normal(3, spread, 60)
        return noise_sd([64], [Observation(64, float(x), 0.0, i) for i, x in enumerate(logs)])[0]

    assert noise(0.02) < noise(0.1) < noise(0.4)
    assert noise(0.4) == pytest.approx(0.4, rel=0.3)
