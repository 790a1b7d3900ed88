"""Savings against the baseline, the energy of the search, and when it has paid for itself."""

import dataclasses
import math

import pytest

from zeus_ray.records import Best, Estimate
from zeus_ray.reporting.savings import how_measured, savings


def answer(batch_size, limit_w=None, *, cost=1.0):
    known = Estimate(mean=cost, low=0.9 * cost, high=1.1 * cost)
    return Best(batch_size=batch_size, power_limit_w=limit_w, cost=known, energy_j=known, time_s=known)


def test_the_best_against_the_baseline(search):
    saved = savings(search)
    assert (saved.best.batch_size, saved.baseline.batch_size) == (64, 32)
    assert saved.energy_saved_j == 10_000
    assert saved.energy_share == pytest.approx(0.25)
    assert saved.time_share == pytest.approx(0.2)
    assert saved.search_energy_j == 75_000  # all but the baseline, the stopped one too
    assert saved.search_time_s == 1_230
    assert saved.trainings_to_pay == 8  # 7.5, rounded up


def test_sentences(search):
    assert savings(search).sentences() == [
        (
            "Best: batch size 64 at a power limit of 125 W, which reached the target once with 30.0 kJ "
            "in 8.00 min."
        ),
        "It takes 25.0 % less energy than the baseline (batch size 32 at 250 W), which took 40.0 kJ.",
        "It takes 20.0 % less time than the baseline, which took 10.0 min.",
        "The search itself took 75.0 kJ (20.8 Wh) in 3 trials.",
        "The search has paid for itself, in energy, after 8 trainings with the best knobs.",
        how_measured(["simulated"], ["simulated V100"]),
    ]


def test_the_best_is_the_cheapest_on_average_not_the_luckiest_trial(trial):
    lucky, unlucky, steady = (
        trial(64, 20_000, 5, cost=20.0),
        trial(64, 60_000, 15, cost=60.0),
        trial(32, 30_000, 7, cost=30.0),
    )
    saved = savings([lucky, unlucky, steady])
    assert (saved.best.batch_size, saved.repeats) == (32, 1)
    again = savings([lucky, trial(64, 30_000, 7, cost=30.0), steady])
    assert (again.best.batch_size, again.repeats, again.best.energy_j) == (64, 2, 25_000)
    assert "2 times, on average" in again.sentences()[0]


def test_the_recommended_batch_size_is_the_one_compared(search):
    assert savings(search, answer=answer(128)).best.batch_size == 128
    assert savings(search, answer=answer(1024)).best.batch_size == 64  # 1024 did not reach the target


@pytest.mark.parametrize(
    ("best", "said"),
    [
        ({"cost": 101.0}, "The default is already the best: batch size 32 at 150 W"),
        ({"batch_size": 32, "limit_w": 150.4, "cost": 99.9}, "The default is already the best"),
        ({"batch_size": 32, "limit_w": 125.0, "cost": 99.0}, "Best: batch size 32 at a power limit of 125 W"),
        ({"cost": 99.0}, "Best: batch size 64"),
    ],
)
def test_no_winner_costs_more_than_the_baseline_or_is_the_baseline(trial, best, said):
    found = {"batch_size": 64, "energy_j": 100, "time_s": 10, **best}
    saved = savings([trial(32, 100, 10, cost=100.0, is_baseline=True), trial(**found)])
    assert saved.sentences()[0].startswith(said)
    assert said.startswith("Best") or not any("less" in sentence for sentence in saved.sentences())


def test_the_answer_names_its_own_limit_and_the_trials_at_it(trial):
    trials = [trial(64, 200, 9, limit_w=w, trial_id=str(w), cost=cost) for w, cost in ((100, 5), (175, 7))]
    saved = savings(trials, answer=answer(64, 175.2))
    assert (saved.best.trial_id, saved.repeats) == ("175", 1)
    assert "at a power limit of 175 W" in saved.sentences()[0]


def test_an_answer_whose_trials_measured_profiles_is_what_the_search_expects(trial):
    trials = [trial(32, 100, 10, cost=100.0, is_baseline=True), trial(64, 130, 10, limit_w=175, cost=130.0)]
    saved = savings(trials, answer=answer(64, 175, cost=80.0))
    assert (saved.repeats, saved.energy_saved_j) == (0, 20.0)
    assert "is expected to reach the target with 80.0 J" in saved.sentences()[0]


PAYBACK = [
    # energy of the baseline, of the best, trainings
    (40_000, 30_000, 3),
    (40_000, 20_000, 1),
    (40_000, 39_000, 39),
    (40_000, 40_000, None),
    (40_000, 50_000, None),
    (math.nan, 30_000, None),
    (40_000, math.nan, None),
]


@pytest.mark.parametrize(("baseline_j", "best_j", "trainings"), PAYBACK)
def test_trainings_until_the_search_has_paid(trial, baseline_j, best_j, trainings):
    saved = savings([trial(32, baseline_j, 10, is_baseline=True), trial(64, best_j, 10, cost=1.0)])
    assert saved.trainings_to_pay == trainings


def test_a_best_that_takes_more_energy_does_not_pay(trial):
    text = " ".join(savings([trial(32, 100, 10, is_baseline=True), trial(64, 150, 5, cost=90)]).sentences())
    assert "50.0 % more energy" in text
    assert "50.0 % less time" in text
    assert "does not pay for itself" in text


def changed(search, index, **fields):
    return [dataclasses.replace(t, **fields) if i == index else t for i, t in enumerate(search)]


def test_no_saving_is_claimed_where_the_two_are_not_comparable(search):
    cases = {
        "has no baseline": [t for t in search if not t.is_baseline],
        "did not reach": changed(search, 1, target_reached=False),
        "shared its GPU": changed(search, 1, shared=True),
        "nothing to recommend": [t for t in search if t.is_baseline or not t.target_reached],
    }
    for phrase, trials in cases.items():
        saved = savings(trials)
        text = " ".join(saved.sentences())
        assert phrase in text
        assert "less energy" not in text
        assert "paid" not in text
        assert math.isnan(saved.energy_saved_j)
        assert math.isnan(saved.energy_share)
        assert math.isnan(saved.time_share)


def test_a_trial_on_a_shared_gpu_is_not_the_best(search):
    assert savings(changed(search, 2, shared=True)).best.batch_size == 128


def test_trials_that_were_not_measured_are_counted(search):
    saved = savings(changed(search, 3, energy_j=math.nan))
    assert saved.unmeasured == 1
    assert "at least 39.0 kJ (10.8 Wh) in 3 trials; 1 of them were not measured." in saved.sentences()[3]


def test_without_a_measurement_only_time_is_compared(trial):
    nothing = {"cost": math.nan, "measured_by": "none", "gpu": "", "limit_w": math.nan}
    trials = [
        trial(32, math.nan, 100, is_baseline=True, **nothing),
        trial(64, math.nan, 50, **nothing),
    ]
    text = " ".join(savings(trials).sentences())
    assert "at an unknown power limit" in text
    assert "unknown: energy was not measured" in text
    assert "50.0 % less time" in text
    assert "an unknown amount of energy" in text
    assert "NO GPU WAS MEASURED" in text
    assert "nan" not in text


def test_an_empty_search():
    assert "nothing to recommend" in savings([]).sentences()[0]


@pytest.mark.parametrize(
    ("kinds", "phrase"),
    [
        (("simulated",), "SIMULATED"),
        (("counter", "simulated"), "SIMULATED"),
        (("replay",), "REPLAYED"),
        (("counter",), "own counters"),
        (("counter", "power integral"), "power readings"),
        (("none",), "NO GPU WAS MEASURED"),
        ((), "NO GPU WAS MEASURED"),
    ],
)
def test_how_energy_was_measured(kinds, phrase):
    assert phrase in how_measured(kinds, ())


def test_the_default_at_another_limit_is_not_the_knobs_in_use_today(trial):
    found = answer(32, 150.0, cost=70.0)
    saved = savings([trial(32, 100, 10, is_baseline=True, limit_w=250.0), trial(64, 110, 11)], answer=found)
    assert (saved.best.batch_size, saved.best.power_limit_w, saved.best.is_baseline) == (32, 150.0, False)
    assert (saved.best.energy_j, saved.repeats) == (70.0, 0)
    first = saved.sentences()[0]
    assert first.startswith("Best: batch size 32 at a power limit of 150 W, which is expected to reach")
    assert "other limits" in first
