"""The table of trials, as a terminal shows it."""

import dataclasses
import math

import pytest
from rich.console import Console

from zeus_ray.reporting.trial_table import trial_columns, trial_table


def rendered(trials, width=80, **options):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(trial_table(trials, **options))
    return [line.split() for line in capture.get().splitlines() if line.strip()]


def test_units_are_in_the_headings_and_the_cheapest_is_first(search):
    upper, lower, _line, *rows = rendered(search)
    assert upper == ["Batch", "Limit", "Energy", "Time", "Cost"]
    assert lower == ["size", "W", "Epochs", "kJ", "min", "kJ", "accuracy", "Why", "it", "ended"]
    assert [row[0] for row in rows] == ["64", "128", "baseline", "1024"]
    assert rows[0] == ["64", "125", "12.5", "30.0", "8.00", "30.0", "0.970", "target", "reached"]
    assert rows[-1][-2:] == ["cost", "cap"]


def test_unknown_is_a_dash_and_not_zero(trial):
    nothing = trial(8, math.nan, math.nan, reached=False, limit_w=math.nan, metric=math.nan, epochs=math.nan)
    assert rendered([dataclasses.replace(nothing, batch_size=0)])[-1] == ["–"] * 7 + ["cost", "cap"]


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
