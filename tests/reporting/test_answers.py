"""What the answer of a search says: objective, signs, certainty, other trade-offs, what to do without one."""

import dataclasses
import math

import pytest

from zeus_ray.records import Best, Estimate, ExpectedCost, SearchAnswer, SearchGoal, Target, TradeOff, to_json
from zeus_ray.reporting.answer_rows import answer_rows, html_rows
from zeus_ray.reporting.savings import savings
from zeus_ray.reporting.savings_sentences import objective_text, savings_sentences
from zeus_ray.reporting.search_report import SearchReport
from zeus_ray.reporting.stored_answer import ANSWER_FILE, stored_answer, stored_best, write_answer
from zeus_ray.reporting.trial_table import html_trial_table

GOAL = SearchGoal(
    target=Target("accuracy", 0.95), eta=0.5, max_power_w=250.0, default_batch_size=32, batch_sizes=(32, 64)
)


def around(mean, width=1.2):
    return Estimate(mean=mean, low=mean / width, high=mean * width)


def best(batch_size, limit_w, *, cost=30_000.0, energy_j=30_000.0, time_s=480.0, width=1.2):
    numbers = (around(number, width) for number in (cost, energy_j, time_s))
    return Best(
        batch_size=batch_size,
        power_limit_w=limit_w,
        **dict(zip(("cost", "energy_j", "time_s"), numbers, strict=True)),
    )


def found(answer, **fields):
    return SearchAnswer(**{"best": answer, "goal": GOAL, **fields})


def text(trials, answer=None):
    return " ".join(savings_sentences(savings(trials, found=answer)))


def test_the_objective_comes_first_and_the_saving_in_cost_before_energy_and_time(search):
    said = savings_sentences(savings(search, found=found(best(64, 125.0))))
    assert said[0] == (
        "Asked for: accuracy of at least 0.95 with the least "
        "cost = 0.5 × energy + 0.5 × 250 W × time (η = 0.5)."
    )
    assert said[2].index("cost −25.0 %") < said[2].index("energy −25.0 %") < said[2].index("time −20.0 %")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"eta": 1.0}, "energy (η = 1)"),
        ({"eta": 0.0}, "time (η = 0)"),
        ({"eta": 1.0, "max_slowdown": 1.05}, "energy (η = 1), at most 1.05 times as slow as the fastest"),
        ({"gpus": 4, "max_power_w": math.nan}, "cost = 0.5 × energy + 0.5 × maximum power × 4 GPUs × time"),
        ({"objective": "carbon", "unit": "gCO2eq/kWh", "signal": "uk"}, "follow the carbon signal of uk"),
    ],
)
def test_the_objective_in_words(fields, words):
    assert words in objective_text(dataclasses.replace(GOAL, **fields))


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_at_the_ends_of_eta_cost_is_energy_or_time_and_is_not_said_twice(search, eta):
    goal = dataclasses.replace(GOAL, eta=eta)
    assert "cost −" not in text(search, found(best(64, 125.0), goal=goal))


def test_other_trade_offs_are_compared_with_the_answer(search):
    answer = best(64, 125.0)
    others = (
        TradeOff(name="least energy", best=best(64, 100.0, energy_j=27_000.0, time_s=528.0)),
        TradeOff(name="least energy, hardly slower", best=best(64, 125.4)),
    )
    said = text(search, found(answer, trade_offs=others))
    assert "least energy: batch size 64 at 100 W, energy −10.0 % and time +10.0 % against the answer" in said
    assert "least energy, hardly slower: the same knobs." in said


def test_the_saving_has_an_interval_and_scatter_is_named(search):
    sure = text(search, found(best(64, 125.0, width=1.1)))
    assert "Nine times out of ten the difference in cost is between −31.8 % and −17.5 %." in sure
    assert "MAY BE SCATTER" in text(search, found(best(64, 125.0, width=1.5)))


def test_at_the_same_batch_size_luck_in_epochs_is_no_saving(trial):
    baseline = trial(32, 36_000, 344, is_baseline=True, limit_w=250.0, epochs=8.0, cost=61_000.0)
    lucky = trial(32, 26_800, 262, limit_w=150.0, epochs=6.0, cost=45_600.0)
    saved = savings([baseline, lucky], found=found(best(32, 150.0)))
    assert saved.energy_share == pytest.approx(1 - 26_800 / 27_000)
    said = " ".join(savings_sentences(saved))
    assert "both are compared at 6 epochs (the baseline happened to need 8)" in said
    assert "NO SAVING is claimed" in said
    assert "paid for itself" not in said


def test_a_target_that_was_not_reached_names_the_nearest_and_what_to_do(trial):
    trials = [
        trial(32, 9_000, 300, reached=False, stop_reason="max epochs", best_metric=0.93, epochs=40.0),
        trial(64, 9_000, 300, reached=False, best_metric=0.91),
    ]
    said = text(trials, found(best(32, None, cost=math.nan)))
    assert "nothing to recommend" in said
    assert "The nearest was 0.93 of 0.95 (accuracy), with batch size 32 at 150 W after 40 epochs" in said
    assert "(ended: max epochs)" in said
    assert "max_epochs=" in said
    assert "Target('accuracy', 0.93, 'max')" in said
    low = dataclasses.replace(GOAL, target=Target("loss", 0.1, "min"))
    assert "The nearest was 0.91 of 0.1" in text(trials, found(best(32, None), goal=low))


def test_an_interrupted_search_says_so(trial):
    trials = [trial(32, 9_000, 300), trial(64, 900, 30, reached=False, stop_reason="interrupted")]
    assert "The search was INTERRUPTED: 1 trial under way ended without an outcome." in text(trials, None)


def test_emissions_are_compared_at_one_intensity(search):
    """They ran at different hours, so what each emitted is no difference of knobs alone."""
    goal = dataclasses.replace(GOAL, objective="carbon", unit="gCO2eq/kWh", signal="csv:x", signal_ends_s=0.0)
    priced = [
        dataclasses.replace(t, carbon_g=t.energy_j / 3.6e6 * g, energy_j_err=0.01 * t.energy_j)
        for t, g in zip(search, (100, 400, 100, 100), strict=True)
    ]
    said = text(priced, found(best(64, 125.0), goal=goal))
    assert "The whole search emitted 6.53 g CO2e, at 204 gCO2eq/kWh on average, by the signal csv:x." in said
    assert "emits 1.70 g CO2e, one with the baseline 2.27 g CO2e (−25.0 %)" in said
    assert "its energy is within 1.0 %" in said
    assert "ENDED on 1970-01-01 00:00 UTC, in the past" in said


def test_prices_have_their_currency(search):
    goal = dataclasses.replace(GOAL, objective="price", unit="EUR/kWh", signal="csv:x")
    priced = [dataclasses.replace(t, price=t.energy_j / 3.6e6 * 0.3) for t in search]
    said = text(priced, found(best(64, 125.0), goal=goal))
    assert "The whole search cost 0.00958 EUR, at 0.3 EUR/kWh on average" in said
    assert "the price of the energy, not of the GPU; its energy has no known error" in said


def test_no_number_has_fifteen_digits():
    shown = best(64, 123.456789, cost=31_552.354166666664)
    assert repr(shown) == (
        "Best(batch_size=64, power_limit_w=123 W, cost=31.6 kJ (26.3 kJ to 37.9 kJ), "
        "energy=30.0 kJ (25.0 kJ to 36.0 kJ), time=8.00 min (6.67 min to 9.60 min))"
    )
    assert "31.6 kJ" in shown._repr_html_()


def test_without_a_measured_gpu_there_is_no_cost(trial):
    """Cost would be time × 300 W that were not measured."""
    unmeasured = best(64, None, cost=9e4, energy_j=math.nan)
    assert "cost" not in repr(unmeasured)
    assert "the limit set on the GPU" in unmeasured.knobs_text
    nothing = trial(64, math.nan, 300, cost=90_000.0, measured_by="none", gpu="")
    assert "90.0" not in str(SearchReport((nothing,)))
    assert "90.0" not in html_trial_table([nothing])


def test_rows_of_a_searcher_have_units_and_are_escaped():
    rows = answer_rows(
        found(best(64, 125.0), trade_offs=(TradeOff(name="least energy", best=best(32, 100)),))
    )
    assert rows["best"] == "batch size 64 at 125 W"
    assert rows["least energy"] == "batch size 32 at 100 W"
    assert rows["energy"] == "30.0 kJ (25.0 kJ to 36.0 kJ)"
    assert answer_rows(found(best(64, None, time_s=math.nan)))["best"] == "nothing has reached the target yet"
    assert "&lt;b&gt;" in html_rows({"x": "<b>"}, "t")


class Result:
    filesystem = None

    def __init__(self, folder):
        self.experiment_path = str(folder)


def test_the_stored_answer_is_read_back_and_unknown_fields_are_ignored(tmp_path):
    cost = ExpectedCost(batch_size=32, power_limit_w=100.0, cost=around(1.0), known="trained")
    answer = found(best(64, 125.0), expected_costs=(cost,), software={"ray": "2.60"})
    write_answer(str(tmp_path), answer)
    assert to_json(stored_answer(Result(tmp_path))) == to_json(answer)  # NaN is not equal to itself
    path = tmp_path / ANSWER_FILE
    path.write_text(path.read_text().replace('"version": 1', '"version": 2, "new": [1]'))
    assert stored_answer(Result(tmp_path)).best == answer.best


def test_an_answer_of_the_first_version_was_the_knobs_alone(tmp_path):
    (tmp_path / ANSWER_FILE).write_text(to_json(best(64, 125.0)))
    read = stored_answer(Result(tmp_path))
    assert (read.best, read.goal, read.version) == (best(64, 125.0), None, 0)
    assert stored_best(Result(tmp_path)) == best(64, 125.0)
    write_answer(str(tmp_path), found(best(32, None, time_s=math.nan)))
    assert stored_best(Result(tmp_path)) is None
