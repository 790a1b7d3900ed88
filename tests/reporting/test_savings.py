"""Savings against the baseline, the energy of the search, and when it has paid for itself."""

import dataclasses
import math

import pytest

from zeus_ray.records import Best, Estimate
from zeus_ray.reporting.savings import savings
from zeus_ray.reporting.search_effort_sentences import how_measured
from zeus_ray.reporting.search_sentences import savings_sentences


def answer(batch_size, limit_w=None, *, cost=1.0):
    known = Estimate(mean=cost, low=0.9 * cost, high=1.1 * cost)
    return Best(batch_size=batch_size, power_limit_w=limit_w, cost=known, energy_j=known, time_s=known)


def test_the_best_against_the_baseline(search):
    saved = savings(search)
    assert (saved.best.batch_size, saved.baseline.batch_size) == (64, 32)
    assert saved.cost_saved_j == 10_000
    assert saved.energy_share == pytest.approx(0.25)
    assert saved.time_share == pytest.approx(0.2)
    assert saved.search_energy_j == 115_000  # of all, as the table has them
    assert saved.search_time_s == 1_830
    assert saved.trainings_to_pay == 12  # 11.5, rounded up


def test_sentences(search):
    assert savings_sentences(savings(search)) == [
        "Answer: batch size 64 at 125 W.",
        (
            "Against the baseline, batch size 32 at 250 W, both as their trials took: cost −25.0 % (40.0 "
            "kJ-eq to 30.0 kJ-eq), energy −25.0 % (40.0 kJ to 30.0 kJ), time −20.0 % (10.0 min to 8.00 min)."
        ),
        "It reached the target once with 30.0 kJ (8.33 Wh) in 8.00 min.",
        (
            "The whole search took 115 kJ (31.9 Wh) and 30.5 min of training (all SIMULATED), power "
            "profiling included, in 4 trials, the baseline and 3 that the search chose."
        ),
        (
            "The search's cost, 115 kJ-eq, is expected to have been saved after about 12 trainings with the "
            "answer instead of the baseline."
        ),
        how_measured(["simulated"], ["simulated V100"]),
        (
            "The training, its metric and its epochs are real. Energy, power and the time of a trial are "
            "those of a model of that card at work on a large image network, whatever is trained here. So "
            "the answer holds neither for this network nor for that one, and for no real GPU: it shows how a "
            "search works."
        ),
        "Energy is of the GPUs alone: no CPU, no cooling.",
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
    assert "2 times, on average" in " ".join(savings_sentences(again))


def test_the_recommended_batch_size_is_the_one_compared(search):
    assert savings(search, answer=answer(128)).best.batch_size == 128
    assert savings(search, answer=answer(1024)).best.batch_size == 64  # 1024 did not reach the target


@pytest.mark.parametrize(
    ("best", "said"),
    [
        ({"cost": 101.0}, "Answer: the default, batch size 32 at 150 W"),
        ({"batch_size": 32, "limit_w": 150.4, "cost": 99.9}, "Answer: the default,"),
        ({"batch_size": 32, "limit_w": 125.0, "cost": 99.0}, "Answer: batch size 32 at 125 W"),
        ({"cost": 99.0}, "Answer: batch size 64"),
    ],
)
def test_no_winner_costs_more_than_the_baseline_or_is_the_baseline(trial, best, said):
    found = {"batch_size": 64, "energy_j": 100, "time_s": 10, **best}
    saved = savings([trial(32, 100, 10, cost=100.0, is_baseline=True), trial(**found)])
    assert savings_sentences(saved)[0].startswith(said)
    assert ("the default" in said) is ("Against" not in " ".join(savings_sentences(saved)))


def test_the_answer_names_its_own_limit_and_the_trials_at_it(trial):
    trials = [trial(64, 200, 9, limit_w=w, trial_id=str(w), cost=cost) for w, cost in ((100, 5), (175, 7))]
    saved = savings(trials, answer=answer(64, 175.2))
    assert (saved.best.trial_id, saved.repeats) == ("175", 1)
    assert "at 175 W" in savings_sentences(saved)[0]


def test_an_answer_whose_trials_measured_profiles_is_what_the_search_expects(trial):
    trials = [trial(32, 100, 10, cost=100.0, is_baseline=True), trial(64, 130, 10, limit_w=175, cost=130.0)]
    saved = savings(trials, answer=answer(64, 175, cost=80.0))
    assert (saved.repeats, saved.cost_saved_j) == (1, 20.0)
    said = savings_sentences(saved)
    assert any(sentence.startswith("Expected of a training with it: 80.0 J") for sentence in said)
    (took,) = [sentence for sentence in said if sentence.startswith("Its trial took 130 J")]
    assert took.endswith("power profiling included.")


PAYBACK = [
    # energy of the baseline, of the best, trainings
    (40_000, 30_000, 7),
    (40_000, 10_000, 2),
    (40_000, 39_000, 79),
    (40_000, 39_900, None),  # a quarter of a percent: below what can be measured
    (40_000, 40_000, None),
    (40_000, 50_000, None),
    (math.nan, 30_000, None),
    (40_000, math.nan, None),
]
"""Energy is the cost here."""


@pytest.mark.parametrize(("baseline_j", "best_j", "trainings"), PAYBACK)
def test_trainings_until_the_search_has_paid(trial, baseline_j, best_j, trainings):
    least = {"cost_to_target": 1.0}  # the answer, whatever it takes
    saved = savings([trial(32, baseline_j, 10, is_baseline=True), trial(64, best_j, 10, **least)])
    assert saved.trainings_to_pay == trainings


def test_an_answer_that_takes_more_energy_pays_in_cost(trial):
    trials = [trial(32, 100, 10, is_baseline=True), trial(64, 150, 5, cost=90)]
    text = " ".join(savings_sentences(savings(trials)))
    assert "cost −10.0 % (100 J-eq to 90.0 J-eq), energy +50.0 % (100 J to 150 J), time −50.0 %" in text
    assert "The search's cost, 190 J-eq, is expected to have been saved after about 19 trainings" in text


def test_an_answer_that_costs_no_less_never_pays(trial):
    trials = [trial(32, 100, 10, is_baseline=True), trial(64, 99.5, 5)]
    assert "will not pay for itself in cost" in " ".join(savings_sentences(savings(trials)))


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
        text = " ".join(savings_sentences(saved))
        assert phrase in text
        assert "Against" not in text
        assert "saved after" not in text
        assert math.isnan(saved.cost_saved_j)
        assert math.isnan(saved.energy_share)
        assert math.isnan(saved.time_share)


def test_a_trial_on_a_shared_gpu_is_not_the_best(search):
    assert savings(changed(search, 2, shared=True)).best.batch_size == 128


def test_trials_that_were_not_measured_are_counted(search):
    saved = savings(changed(search, 3, energy_j=math.nan))
    assert saved.unmeasured == 1
    text = " ".join(savings_sentences(saved))
    assert (
        "took at least 79.0 kJ (21.9 Wh) and 30.5 min of training (all SIMULATED), power profiling included"
        in text
    )
    assert "1 of them were not measured" in text


def test_without_a_measurement_only_time_is_compared(trial):
    nothing = {"cost": math.nan, "measured_by": "none", "gpu": "", "limit_w": math.nan}
    trials = [
        trial(32, math.nan, 100, is_baseline=True, **nothing),
        trial(64, math.nan, 50, **nothing),
    ]
    text = " ".join(savings_sentences(savings(trials)))
    assert "at an unknown power limit" in text
    assert "Energy and cost are unknown: no energy was measured." in text
    assert "time −50.0 %" in text
    assert "an unknown amount of energy" in text
    assert "NO GPU WAS MEASURED" in text
    assert " J" not in text.replace("NO GPU", "")
    assert "nan" not in text


def test_an_empty_search():
    assert "nothing to recommend" in savings_sentences(savings([]))[0]


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
    first, *others = savings_sentences(saved)
    expected, measured = [s for s in others if s.startswith(("Expected of", "No trial had"))]
    assert first == "Answer: batch size 32 at 150 W."
    assert expected.startswith("Expected of a training with it: 70.0 J")
    assert measured.startswith("No trial had this power limit to its end")
