"""The default policy: that it is frugal, stops what is not worth it, and never gets stuck."""

import math

import numpy as np
import pytest
from driving import LIMITS_W, SIZES, TARGET, Work, outcome, profile_of
from hypothesis import given, settings
from hypothesis import strategies as st

from zeus_ray.decide import Search, value
from zeus_ray.decide.curves import forecast
from zeus_ray.decide.epochs import Observation, believe, epochs_family, noise_sd
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
    assert tries[0] == [256]
    assert sum(map(len, tries)) <= 15
    assert {sizes[-1] for sizes in tries[-4:]} <= {32, 64}


def test_a_job_that_stumbles_is_done_by_the_best_known_next():
    search = make(default_batch_size=64)
    for sizes in recur(search, Work(fails={16, 32, 128, 256}), 30):
        assert sizes[-1] == 64
        assert len(sizes) <= 3


@pytest.mark.parametrize("fails", [{256}, {256, 128}, {16, 32, 64, 128}, set(SIZES)])
def test_a_default_that_fails_is_no_dead_end(fails):
    tries = recur(make(max_epochs=40), Work(fails=fails), 8)
    assert tries[-1][-1] not in fails or fails == set(SIZES)


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


def test_out_of_memory_of_all_that_worked_is_survived():
    search = make(default_batch_size=64)
    search.tell(outcome(search.ask(), gpu="V100"))
    flying = [search.ask() for _ in range(2)]
    search.tell(outcome(flying[0], reached=False, stop=StopReason.OUT_OF_MEMORY))
    while (knobs := search.ask()).batch_size > 16:
        search.tell(outcome(knobs, reached=False, stop=StopReason.OUT_OF_MEMORY))
    assert knobs.batch_size == 16


@given(noise=st.floats(0, 0.4), seed=st.integers(0, 99), default=st.sampled_from(SIZES))
@settings(max_examples=12, deadline=None)
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
@settings(max_examples=30, deadline=None)
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
