"""How a cost is written: joule-equivalents, or energy or time where the goal counts that alone."""

import dataclasses
import math

import pytest
from small_search import small_search

from zeus_ray.records import SearchGoal
from zeus_ray.reporting.cost_format import CostFormat
from zeus_ray.reporting.pictures.cost_picture import cost_picture
from zeus_ray.reporting.trial_table import trial_table

GOAL = SearchGoal(eta=0.5, max_power_w=250.0, gpus=2)


@pytest.mark.parametrize(
    ("goal", "name", "text"),
    [
        (None, "cost", "30.0 kJ-eq"),
        (GOAL, "cost", "30.0 kJ-eq"),
        (dataclasses.replace(GOAL, eta=1.0), "energy", "30.0 kJ"),
        (dataclasses.replace(GOAL, eta=0.0), "time", "60.0 s"),
        (dataclasses.replace(GOAL, eta=0.0, max_power_w=math.nan), "time", "30.0 kJ-eq"),
    ],
)
def test_the_unit_says_what_is_counted(goal, name, text):
    costs = CostFormat(goal)
    assert (costs.name, costs.text(30_000.0)) == (name, text)
    assert costs.text(math.nan).startswith("–")


def test_the_map_of_a_search_for_the_least_time_is_in_time(tmp_path):
    saved = small_search(tmp_path).savings
    goal = dataclasses.replace(saved.goal, eta=0.0)
    fastest = dataclasses.replace(saved, goal=goal, found=dataclasses.replace(saved.found, goal=goal))
    picture = cost_picture(fastest, saved.found.expected_costs)
    unit = CostFormat(goal).scale([e.cost.mean for e in saved.found.expected_costs]).unit
    assert unit in ("s", "min", "h")
    assert picture.scale_label == f"expected time ({unit}); lighter is cheaper"
    assert "kJ" not in picture.description + "".join(text for row in picture.layers[0].hovers for text in row)


def test_no_cost_is_in_the_unit_of_energy(tmp_path):
    report = small_search(tmp_path)
    said = " ".join(report.sentences)
    assert "a cost of" in said
    for words in said.split("cost of ")[1:]:
        assert words.split()[1].rstrip(",").endswith("J-eq"), words[:40]
    headings = [str(column.header) for column in trial_table(report.trials).columns]
    assert [heading for heading in headings if heading.startswith("Cost")] == ["Cost\nkJ-eq"]
