"""What could be taken instead of the answer, how sure it is, and commands that a terminal does not break."""

import dataclasses
import re

import pytest
from rich.console import Console
from test_answers import around, best, found, text

from zeus_ray.records import NOTHING_LEFT, TIME_USED, TRIALS_USED, ExpectedCost
from zeus_ray.reporting.page.html_page import bullets
from zeus_ray.reporting.pictures.cost_picture import cost_picture
from zeus_ray.reporting.savings import savings
from zeus_ray.reporting.show import NEXT, SearchReport


def costs(*rows):
    return tuple(
        ExpectedCost(batch_size=size, power_limit_w=limit_w, cost=around(cost), known=known)
        for size, limit_w, cost, known in rows
    )


@pytest.fixture
def kept(trial):
    """The default stays, 64 was trained to the target and 128 was stopped."""
    return [
        trial(32, 31_500, 300, is_baseline=True, limit_w=250.0, epochs=7.0, cost=53_000.0),
        trial(64, 36_000, 290, limit_w=250.0, cost=57_000.0),
        trial(128, 6_600, 51, reached=False, limit_w=250.0),
    ]


STAYS = best(32, 250.0, cost=53_000.0, energy_j=31_500.0, time_s=300.0)
BESIDE = costs(
    (32, 100.0, 53_000.0, "trained"),
    (32, 250.0, 53_000.0, "trained"),
    (64, 250.0, 57_240.0, "trained"),
)


def test_a_size_that_was_stopped_and_may_cost_less_is_not_settled_in_words_and_picture(kept):
    answer = found(
        STAYS, baseline=STAYS, expected_costs=(*BESIDE, *costs((128, 150.0, 47_900.0, "profiled")))
    )
    said = text(kept, answer)
    assert "No other that reached the target is expected to cost less" in said
    assert (
        "NOT SETTLED: batch size 128 at 150 W is expected to cost 47.9 kJ-eq (39.9 kJ-eq to 57.5 kJ-eq)"
        in said
    )
    assert "points_to_evaluate=[128]" in said
    drawn = cost_picture(savings(kept, found=answer), answer.expected_costs).description
    assert "The answer: 53.0 kJ-eq with batch size 32 at 250 W. Less is expected of batch size 128" in drawn


@pytest.mark.parametrize(
    ("ended", "why", "remedy"),
    [
        (NOTHING_LEFT, "did not pay for going on", "exploration_budget="),
        (TRIALS_USED, "all the trials that the search may run were used", "num_samples="),
        (TIME_USED, "the time of the search was used up", "time_budget_s="),
        ("", "trained it to the target. A search", "exploration_budget="),
    ],
)
def test_what_is_not_settled_says_why_and_what_would_settle_it(kept, ended, why, remedy):
    costs_less = (*BESIDE, *costs((128, 150.0, 47_900.0, "profiled")))
    said = text(kept, found(STAYS, baseline=STAYS, expected_costs=costs_less, ended=ended))
    (sentence,) = re.findall("NOT SETTLED.*?go on", said)
    assert why in sentence
    assert f"a larger {remedy} lets" in sentence


@pytest.mark.parametrize("reason", ["max epochs", "out of memory", "error", ""])
def test_a_size_that_failed_by_itself_is_settled_and_the_next_one_is_named(kept, trial, reason):
    failed = [*kept[:2], trial(128, 6_600, 51, reached=False, limit_w=250.0, stop_reason=reason)]
    rows = costs((128, 150.0, 47_900.0, "profiled"))
    assert "NOT SETTLED" not in text(failed, found(STAYS, expected_costs=(*BESIDE, *rows)))
    rows += costs((256, 150.0, 50_000.0, "modelled"))
    assert "NOT SETTLED: batch size 256" in text(failed, found(STAYS, expected_costs=(*BESIDE, *rows)))


@pytest.mark.parametrize(
    "rows", [[], [(128, 150.0, 53_100.0, "profiled")], [(64, 150.0, 50_000.0, "modelled")]]
)
def test_a_size_that_finished_or_is_dearer_is_settled(kept, rows):
    answer = found(STAYS, baseline=STAYS, expected_costs=(*BESIDE, *costs(*rows)))
    assert "NOT SETTLED" not in text(kept, answer)
    assert "Less is expected" not in cost_picture(savings(kept, found=answer), BESIDE).description


def test_where_the_default_stays_nothing_is_saved_and_the_next_best_size_is_named(kept):
    said = text(kept, found(STAYS, baseline=STAYS, expected_costs=BESIDE))
    assert "What is saved: nothing." in said
    assert "How sure: the epochs that a training needs have a standard deviation of about" in said
    assert (
        "the next batch size that reached the target, 64, is expected to take 57.2 kJ-eq (+8.0 % cost)"
        in said
    )
    alone = found(STAYS, baseline=STAYS, expected_costs=BESIDE[:2])
    assert "no other batch size was trained to the target" in text(kept[:1], alone)


def test_limits_of_the_same_cost_are_named_with_what_the_training_draws(kept):
    said = text(kept, found(STAYS, baseline=STAYS, expected_costs=BESIDE))
    same = "the cost is the same, within 0.5 %, at all limits from "
    assert f"{same}100 to 250 W: what a lower one saves in energy it takes in time; the one in use" in said
    free = (dataclasses.replace(BESIDE[0], power_limit_w=125.0), *BESIDE[1:])
    said = text(kept, found(STAYS, baseline=STAYS, expected_costs=free))
    assert f"{same}125 to 250 W, as a training draws 105 W on average" in said
    dearer = (dataclasses.replace(BESIDE[0], cost=around(54_000.0)), *BESIDE[1:])
    assert "is the same, within" not in text(kept, found(STAYS, baseline=STAYS, expected_costs=dearer))


@pytest.mark.parametrize(("energy_j", "outside"), [(31_500, False), (60_000, True)])
def test_what_was_measured_is_named_where_it_is_not_what_is_expected(trial, energy_j, outside):
    """That it is as expected would be no check: the interval is made from it."""
    once = [trial(32, energy_j, 300, is_baseline=True, limit_w=250.0, epochs=7.0, cost=53_000.0)]
    said = text(once, found(STAYS, baseline=STAYS, expected_costs=BESIDE))
    assert ("; the 60.0 kJ of its trial are NOT within that" in said) is outside
    assert "are within" not in said


def test_what_is_to_be_typed_is_not_broken_in_a_narrow_terminal(kept, tmp_path):
    folder = tmp_path / "a_rather_long_name_of_an_experiment_with_its_date"
    folder.mkdir()
    report = SearchReport(tuple(kept), best=STAYS, found=found(STAYS, baseline=STAYS), folder=str(folder))
    command = f"zeus-ray report --html report.html {folder}"
    assert any(command in step for step in report.by_subject[NEXT])
    console = Console(width=60, color_system=None)
    with console.capture() as capture:
        console.print(report, crop=False)
    assert f"   {command}\n" in capture.get()
    assert f"<code>{command}</code>" in bullets(report.by_subject[NEXT])
