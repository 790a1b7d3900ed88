"""The table of trials, as a terminal shows it."""

import dataclasses
import math

import pytest
from rich.console import Console

from zeus_ray.records import SearchGoal, Target
from zeus_ray.reporting.trial_table import (
    html_trial_table,
    table_notes,
    trial_columns,
    trial_table,
)


def rendered(trials, width=80, **options):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(trial_table(trials, **options))
    return [line.split() for line in capture.get().splitlines() if line.strip()]


def test_units_are_in_the_headings_and_the_cheapest_is_first(search):
    upper, lower, _line, *rows = rendered(search)
    assert upper == ["Batch", "Limit", "Energy", "Time", "Cost", "Power"]
    assert lower == ["size", "W", "kJ", "min", "kJ-eq", "Epochs", "W", "accuracy", "Why", "it", "ended"]
    assert [row[0] for row in rows] == ["64", "128", "baseline", "1024"]
    assert rows[0] == ["64", "125", "30.0", "8.00", "30.0", "12.5", "62", "0.9700", "target", "reached"]
    assert rows[-1][-2:] == ["cost", "cap"]


def test_unknown_is_a_dash_and_not_zero(trial):
    nothing = trial(8, math.nan, math.nan, reached=False, limit_w=math.nan, metric=math.nan, epochs=math.nan)
    assert rendered([dataclasses.replace(nothing, batch_size=0)])[-1] == ["–"] * 8 + ["cost", "cap"]


def test_the_table_fits_80_columns(search):
    assert len(rendered(search, width=80)) == len(rendered(search, width=200)) == 3 + len(search)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "target reached"),
        ({"stop_reason": ""}, "target reached, ended by itself"),
        ({"stop_reason": "", "target_reached": False}, "ended by itself"),
        ({"shared": True}, "target reached, GPU shared"),
        ({"attempt": 3}, "target reached, attempt 3"),
    ],
)
def test_end_reason(trial, fields, reason):
    assert trial_columns([trial(8, 1, 1)])[-1].cell(trial(8, 1, 1, **fields)) == reason


def test_hyperparameters_are_not_read_as_markup(trial):
    trials = [trial(8, 1, 1, hyperparameters={"lr": 0.00123456, "kind": "[bold]a"}), trial(16, 2, 1)]
    shown = trial_columns(trials, ["lr", "kind"])
    assert [column.heading for column in shown[2:4]] == ["lr", "kind"]
    assert [[column.cell(t) for column in shown[2:4]] for t in trials] == [
        ["0.001235", "[bold]a"],
        ["–", "–"],
    ]
    assert "[bold]a" in rendered(trials, width=120, hyperparameters=["lr", "kind"])[-2]


def test_with_energy_alone_there_is_no_second_column_of_it(search):
    goal = SearchGoal(target=Target("accuracy", 0.95), eta=1.0)
    trials = [dataclasses.replace(trial, goal=goal) for trial in search]
    headings = [column.heading.split()[0] for column in trial_columns(trials)]
    assert "Cost" not in headings
    assert "Cost" in [column.heading.split()[0] for column in trial_columns(search)]


def test_a_metric_that_missed_its_target_does_not_look_as_if_it_had_reached_it(trial):
    goal = SearchGoal(target=Target("accuracy", 0.95))
    missed = trial(8, 1, 1, reached=False, metric=0.949961, goal=goal)
    assert trial_columns([missed])[-2].cell(missed) == "0.94996"


def test_the_answer_is_marked_also_where_it_is_the_baseline(search):
    baseline = next(trial for trial in search if trial.is_baseline)
    rows = rendered(search, best=baseline)
    assert [row[0] for row in rows if "baseline," in row] == ["baseline,"]
    assert ["answer", "32"] in [row[:2] for row in rows]
    assert "baseline, answer 32" in html_trial_table(search, (), baseline)


def test_reasons_that_do_not_explain_themselves_are_explained(trial):
    trials = [trial(8, 1, 1), trial(16, 1, 1, reached=False, stop_reason="not worth it")]
    (note,) = table_notes(trials)
    assert note.startswith("not worth it: stopped before the target")


def test_that_a_row_is_one_run_is_said_where_a_batch_size_ran_more_than_once_and_was_compared(trial):
    twice = [trial(8, 1, 1), trial(8, 2, 1), trial(16, 1, 1)]
    (note,) = table_notes(twice)
    assert note.startswith("Each row is one run")
    assert table_notes(twice[1:]) == table_notes(twice[:2]) == []
