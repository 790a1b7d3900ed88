"""What the answer of a search says: objective, signs, certainty, other trade-offs, what to do without one."""

import dataclasses
import math

import pytest

from zeus_ray.records import Best, Estimate, ExpectedCost, SearchAnswer, SearchGoal, Target, TradeOff, to_json
from zeus_ray.reporting.answer_rows import answer_rows, html_rows
from zeus_ray.reporting.cost_format import CostFormat
from zeus_ray.reporting.savings import savings
from zeus_ray.reporting.search_sentences import objective_text, savings_sentences
from zeus_ray.reporting.show import SearchReport
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
        "Asked for: accuracy of at least 0.95 with the least cost in joule-equivalents (J-eq): "
        "0.5 × energy + 0.5 × 250 W × time, 250 W being the highest limit (η = 0.5; 1 would be energy "
        "alone, 0 time)."
    )
    (against,) = [sentence for sentence in said if sentence.startswith("Against the baseline")]
    assert against.index("cost −25.0 %") < against.index("energy −25.0 %") < against.index("time −20.0 %")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"eta": 1.0}, "energy (η = 1: energy alone; 0 would be time alone)"),
        ({"eta": 0.0}, "time (η = 0: time alone; 1 would be energy alone)"),
        ({"eta": 1.0, "max_slowdown": 1.05}, "time alone), at most 1.05 times as slow as the fastest"),
        ({"gpus": 4, "max_power_w": math.nan}, "(J-eq): 0.5 × energy + 0.5 × maximum power × 4 GPUs × time"),
        ({"objective": "carbon", "unit": "gCO2eq/kWh", "signal": "uk"}, "follow the carbon signal of uk"),
    ],
)
def test_the_objective_in_words(fields, words):
    assert words in objective_text(dataclasses.replace(GOAL, **fields))


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_at_the_ends_of_eta_cost_is_energy_or_time_and_is_not_said_twice(search, eta):
    goal = dataclasses.replace(GOAL, eta=eta)
    assert "cost −" not in text(search, found(best(64, 125.0), goal=goal))


def test_other_trade_offs_are_compared_with_the_baseline_or_without_one_with_the_answer(search):
    answer = best(64, 125.0)
    others = (
        TradeOff(name="least energy", best=best(64, 100.0, energy_j=27_000.0, time_s=528.0)),
        TradeOff(name="least time", best=best(64, 125.4)),
        TradeOff(name="hardly slower", best=best(64, 125.0)),
    )
    said = text(search, found(answer, trade_offs=others))
    expected = (
        "Another trade-off, least energy: batch size 64 at 100 W, which no trial ran with to its end: "
        "27.0 kJ in 8.80 min"
    )
    assert f"{expected} (energy −32.5 % [90 %: " in said
    assert "MAY BE CHANCE" not in said.partition("least energy:")[2].partition("time −12.0 %")[0]
    assert "time −12.0 % [90 %: " in said
    assert "Another trade-off, least time, and hardly slower: the same as the answer." in said
    alone = text([t for t in search if not t.is_baseline], found(answer, trade_offs=others))
    assert f"{expected} (energy −10.0 %, time +10.0 % against the answer)" in alone


def test_the_saving_has_an_interval_and_scatter_is_named(search):
    sure = text(search, found(best(64, 125.0, width=1.1)))
    assert "nine times out of ten, between −33.1 % and −16.0 % in cost, " in sure
    assert "A single training with the answer takes 27.3 to 33.0 kJ and 7.27 to 8.80 min" in sure
    unsure = text(search, found(best(64, 125.0, width=1.5)))
    assert ": the changes in cost, energy and time MAY BE CHANCE." in unsure
    assert "15 % is assumed, and corrected by 0 repeats of a batch size)" in unsure


def test_intervals_allow_for_the_choice_of_the_answer_among_several(search):
    """Bonferroni's: 95 % of each of two are 90 % of both; of one alone 90 %."""
    answer = found(best(64, 125.0))
    two = [trial for trial in search if trial.batch_size != 128]  # the baseline's, and the answer's
    assert "allow for the choice among 2 batch sizes." in text(search, answer)
    assert "allow for" not in text(two, answer)
    scatter = savings(search, found=answer).answer.scatter
    for trials, errors in ((search, 1.95996), (two, 1.64485)):
        width = math.exp(errors * scatter * math.sqrt(2))
        assert savings(trials, found=answer).cost_share_interval == pytest.approx(
            (1 - 0.75 * width, 1 - 0.75 / width), rel=1e-4
        )


@pytest.mark.parametrize(("cost", "width"), [(30_000.0, 1.5), (38_000.0, 1.1), (44_000.0, 1.5)])
def test_so_many_trainings_would_show_the_change_and_one_less_would_not(search, cost, width):
    def after(runs):
        """With the same scatter, each of the two expected from so many."""
        narrower = width ** math.sqrt((1 + 1 / runs) / 2)
        answer, baseline = (
            dataclasses.replace(best(*knobs, cost=mean, width=narrower), runs=runs)
            for *knobs, mean in ((64, 125.0, cost), (32, 250.0, 40_000.0))
        )
        return savings(search, found=found(answer, baseline=baseline))

    needed = after(1).runs_beyond_chance
    assert needed > 1
    change = f"{-100 * after(1).cost_share:+.1f} %".replace("-", "−")
    said = " ".join(savings_sentences(after(1)))
    assert f"To tell a change of {change} in cost from chance takes about {needed} trainings with" in said
    more = CostFormat(GOAL).text((needed - 1) * (cost + 40_000.0))
    assert f"with each of the two, those so far included: {more} more." in said
    for runs, shown in ((needed, True), (needed - 1, False)):
        low, high = after(runs).cost_share_interval
        assert (low * high > 0) is shown


@pytest.mark.parametrize("fields", [{"cost": 20_000.0, "width": 1.05}, {"cost": 39_900.0, "width": 1.5}])
def test_a_change_that_is_sure_or_within_the_error_of_measurement_needs_no_more_trainings(search, fields):
    said = text(search, found(best(64, 125.0, **fields)))
    assert "from chance takes" not in said


def test_a_change_that_only_the_choice_makes_doubtful_may_be_chance(search):
    """As narrow as this the interval of one batch size includes no change; of the better of two it does."""
    answer = found(best(64, 125.0, width=1.31))
    two = [trial for trial in search if trial.batch_size != 128]
    assert "MAY BE CHANCE" not in text(two, answer).partition("How sure")[2].partition("nother")[0]
    assert "MAY BE CHANCE" in text(search, answer).partition("How sure")[2].partition("nother")[0]


def test_a_batch_size_that_was_stopped_could_not_have_been_chosen(search):
    stopped = [
        dataclasses.replace(t, target_reached=False, stop_reason="not worth it") if t.batch_size == 128 else t
        for t in search
    ]
    assert savings(stopped, found=found(best(64, 125.0))).compared_sizes == 1


def test_how_much_of_the_cost_is_time_is_said(search):
    """The baseline's 40 kJ at 0.5 of a cost of 40 kJ-eq."""
    assert "Of the baseline's cost 50 % is time, and the rest is energy." in text(
        search, found(best(64, 125.0))
    )
    for eta in (0.0, 1.0):
        goal = dataclasses.replace(GOAL, eta=eta)
        assert "Of the baseline's cost" not in text(search, found(best(64, 125.0), goal=goal))


def test_what_may_be_chance_is_said_of_each_quantity(search):
    """Cost is clearly less, energy is not."""
    said = text(search, found(best(64, 125.0, width=1.15, cost=20_000.0, energy_j=38_000.0)))
    assert "MAY BE CHANCE" not in said
    assert ": more than chance in cost and time; the change in energy may be chance." in said
    sure = text(search, found(best(64, 125.0, width=1.05)))
    assert "in time: more than chance." in sure


def test_more_runs_make_the_mean_surer_than_a_single_training(search):
    """One run of either: as wide as one training. Many of the answer: only the baseline's one run varies."""
    two = [trial for trial in search if trial.batch_size != 128]
    once, often = (savings(two, found=found(dataclasses.replace(best(64, 125.0), runs=n))) for n in (1, 99))
    assert once.cost_share_interval == pytest.approx((1 - 0.75 * 1.2, 1 - 0.75 / 1.2), abs=1e-4)
    scatter = often.answer.scatter
    assert scatter == pytest.approx(once.answer.scatter * math.sqrt(2 / (1 + 1 / 99)))
    width = math.exp(1.645 * scatter * math.sqrt(1 + 1 / 99))
    assert often.cost_share_interval == pytest.approx((1 - 0.75 * width, 1 - 0.75 / width), abs=1e-4)


def test_the_forecast_of_when_the_search_has_paid_has_an_interval(search):
    answer = found(best(64, 125.0, width=1.1), goal=dataclasses.replace(GOAL, eta=1.0))
    saved = savings(search, found=answer)
    low, high = saved.cost_share_interval
    fewest, most = (math.ceil(115_000 / (share * 40_000)) for share in (high, low))
    said = " ".join(savings_sentences(saved))
    assert "The search's energy, 115 kJ, is expected to have been saved after about 12 trainings" in said
    assert f"({fewest} to {most})" in said
    unsure = text(search, found(best(64, 125.0, width=1.5)))
    assert "at worst never)" in unsure


def test_at_the_same_batch_size_luck_in_epochs_is_no_saving(trial):
    baseline = trial(32, 36_000, 344, is_baseline=True, limit_w=250.0, epochs=8.0, cost=61_000.0)
    lucky = trial(32, 26_800, 262, limit_w=150.0, epochs=6.0, cost=45_600.0)
    saved = savings([baseline, lucky])
    assert saved.energy_share == pytest.approx(1 - 26_800 / 27_000)
    said = " ".join(savings_sentences(saved))
    assert "both are compared at 6 epochs (the baseline happened to need 8)" in said
    assert "NO SAVING is claimed" in said
    assert "will not pay for itself" in said
    expected = savings([baseline, lucky], found=found(best(32, 150.0, energy_j=31_000.0, cost=53_000.0)))
    assert expected.energy_share == pytest.approx(1 - 31_000 / (36_000 * 7 / 8))  # the mean of both


def test_the_default_stays_the_answer_where_another_limit_was_only_luckier(trial):
    """One consistent answer: the cheapest single run is not it, and the report says why."""
    baseline = trial(32, 36_000, 344, is_baseline=True, limit_w=250.0, epochs=8.0, cost=61_000.0)
    lucky = trial(32, 26_000, 262, limit_w=100.0, epochs=6.0, cost=45_000.0)
    answer = best(32, 250.0, cost=53_000.0, energy_j=31_500.0)
    said = savings_sentences(savings([baseline, lucky], found=found(answer, baseline=answer)))
    answers = "Answer: the default, batch size 32 at 250 W. No other that reached the target is expected to"
    assert any(sentence.startswith(answers) for sentence in said)
    (why,) = [sentence for sentence in said if sentence.startswith("The cheapest single run")]
    assert why.startswith("The cheapest single run was batch size 32 at 100 W")
    assert why.endswith("it needed 6 epochs, where 7 are the mean of its batch size.")


@pytest.mark.parametrize(
    ("energy_j", "time_s", "words"),
    [
        (44_000.0, 400.0, "is expected to take MORE ENERGY (+10.0 %)"),
        (56_000.0, 300.0, "It takes MORE ENERGY (+40.0 %)"),
        (20_000.0, 660.0, "is expected to take MORE TIME (+10.0 %)"),
        (30_000.0, 480.0, ""),
    ],
)
def test_an_answer_that_is_worse_in_one_of_both_says_so(search, energy_j, time_s, words):
    said = text(search, found(best(64, 125.0, energy_j=energy_j, time_s=time_s)))
    assert words in said
    assert words or "MORE" not in said


def test_why_more_or_less_is_expected_of_the_baseline_than_its_trial_took(trial):
    trials = [
        trial(32, 36_000, 345, is_baseline=True, limit_w=250.0, epochs=8.0, cost=61_000.0),
        trial(32, 26_000, 265, limit_w=100.0, epochs=6.0, cost=46_000.0),
        trial(64, 32_000, 232, limit_w=250.0, epochs=8.0, cost=45_000.0),
    ]
    said = text(trials, found(best(64, 250.0), baseline=best(32, 250.0, energy_j=31_600.0, cost=53_500.0)))
    assert (
        "The baseline's figures are for 7 epochs, the mean of the 2 trainings with its batch size. Its own "
        "trial, in the table, happened to need 8: 36.0 kJ in 5.75 min." in said
    )
    assert "happened to need" not in text([trials[0], trials[2]], found(best(64, 250.0)))


def test_what_the_batch_size_saves_and_what_the_power_limit(search):
    costs = tuple(
        ExpectedCost(batch_size=size, power_limit_w=limit_w, cost=around(cost), known="trained")
        for size, limit_w, cost in ((32, 250.0, 40_000.0), (64, 250.0, 36_000.0), (64, 125.0, 30_000.0))
    )
    said = text(search, found(best(64, 125.0), expected_costs=costs))
    assert "The batch size alone would change the cost by −10.0 %;" in said
    assert "125 W instead of 250 W then changes it by −16.7 %." in said


def test_a_search_that_pays_in_cost_and_never_in_energy_says_both(trial):
    trials = [
        trial(32, 30_000, 600, is_baseline=True, limit_w=250.0, cost=100_000.0),
        trial(64, 33_000, 300, limit_w=250.0, cost=60_000.0),
    ]
    before = best(32, 250.0, energy_j=30_000.0, cost=100_000.0)
    said = text(trials, found(best(64, 250.0, energy_j=33_000.0, cost=60_000.0), baseline=before))
    assert (
        "In energy alone no pay-back is expected: a training with the answer takes +10.0 % energy, between"
        in said
    )
    less = found(best(64, 250.0, energy_j=20_000.0, cost=60_000.0), baseline=before)
    assert "In energy alone" not in text(trials, less)


def test_why_the_search_ended_and_what_it_never_tried(search):
    costs = (ExpectedCost(batch_size=16, power_limit_w=250.0, cost=around(70_000.0), known="modelled"),)
    goal = dataclasses.replace(GOAL, batch_sizes=(8, 16, 32, 64, 128, 1024))
    said = text(search, found(best(64, 125.0), goal=goal, expected_costs=costs, ended="nothing left"))
    assert "It ended by itself" in said
    assert (
        "Never tried: batch sizes 8, 16, as a training with them is expected to cost 70.0 kJ-eq or more."
        in said
    )
    assert "(num_samples=)" in text(search, found(best(64, 125.0), ended="trials used"))


def test_a_target_that_was_not_reached_names_the_nearest_and_what_to_do(trial):
    trials = [
        trial(32, 9_000, 300, reached=False, stop_reason="max epochs", best_metric=0.93, epochs=40.0),
        trial(64, 9_000, 300, reached=False, best_metric=0.91),
    ]
    said = text(trials, found(best(32, None, cost=math.nan)))
    assert "nothing to recommend" in said
    assert "The nearest was 0.9300 of 0.95 (accuracy), with batch size 32 at 150 W after 40 epochs" in said
    assert "(ended: max epochs)" in said
    assert "max_epochs=" in said
    assert "Target('accuracy', 0.93, 'max')" in said
    low = dataclasses.replace(GOAL, target=Target("loss", 0.1, "min"))
    assert "The nearest was 0.9100 of 0.1" in text(trials, found(best(32, None), goal=low))


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
        "Best(batch_size=64, power_limit_w=123 W, cost=31.6 kJ-eq (26.3 kJ-eq to 37.9 kJ-eq), "
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
