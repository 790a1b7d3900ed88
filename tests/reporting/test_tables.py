"""The table, as it reads in a terminal."""

import dataclasses
import math

import pytest
from rich.console import Console

from zeus_ray.reporting.tables import columns, table


def rendered(trials, **options):
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        console.print(table(trials, **options))
    return [line for line in capture.get().splitlines() if "│" in line or "┃" in line]


def cells(line):
    return [cell.strip() for cell in line.replace("┃", "│").strip("│").split("│")]


def test_units_are_in_the_headings_and_the_cheapest_is_first(search):
    head, *rows = (cells(line) for line in rendered(search))
    assert head == [
        "Batch size",
        "Limit (W)",
        "Epochs",
        "Energy (kJ)",
        "Time (min)",
        "Power (W)",
        "Cost (kJ)",
        "accuracy",
        "Reached",
        "Why it ended",
    ]
    assert [row[0] for row in rows] == ["64", "128", "baseline 32", "1024"]
    assert rows[0] == ["64", "125", "12.5", "30.0", "8.00", "62", "30.0", "0.970", "yes", "target reached"]
    assert rows[-1][-2:] == ["no", "cost cap"]


def test_unknown_is_a_dash_and_never_zero(trial):
    nothing = trial(8, math.nan, math.nan, reached=False, limit_w=math.nan, metric=math.nan, epochs=math.nan)
    row = cells(rendered([dataclasses.replace(nothing, batch_size=0)])[1])
    assert row == ["–"] * 8 + ["no", "cost cap"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "target reached"),
        ({"stop_reason": ""}, "ended by itself"),
        ({"shared": True}, "target reached, GPU shared"),
        ({"attempt": 3}, "target reached, attempt 3"),
    ],
)
def test_why_it_ended(trial, fields, why):
    assert columns([trial(8, 1, 1)])[-1].cell(trial(8, 1, 1, **fields)) == why


def test_other_hyperparameters_are_shown_as_they_are_not_as_markup(trial):
    trials = [trial(8, 1, 1, others={"lr": 0.00123456, "kind": "[bold]a"}), trial(16, 2, 1)]
    head, first, second = (cells(line) for line in rendered(trials, others=["lr", "kind"]))
    assert head[2:4] == ["lr", "kind"]
    assert first[2:4] == ["0.001235", "[bold]a"]
    assert second[2:4] == ["–", "–"]
