"""What the pictures show: which trials, which lines, and what they say of the rest."""

import dataclasses
import itertools
import math

import pytest
from small_search import TARGET, small_search

from zeus_ray.errors import BadInput
from zeus_ray.records import Estimate, ExpectedCost, Exploration, SearchGoal
from zeus_ray.reporting.pictures.cost_picture import cost_picture
from zeus_ray.reporting.pictures.draw_plotly import plotly_json
from zeus_ray.reporting.pictures.learning_curve_picture import learning_curve_picture
from zeus_ray.reporting.pictures.pareto_picture import pareto_front, pareto_picture
from zeus_ray.reporting.pictures.picture import (
    AxisScale,
    LineLayer,
    PointLayer,
    SpanLayer,
    axis_of,
    whole_ticks,
)
from zeus_ray.reporting.pictures.picture_colours import (
    COLOURS,
    DARK,
    LIGHT,
    colour_at,
    is_light,
    scale_position,
)
from zeus_ray.reporting.pictures.power_over_time_picture import power_picture
from zeus_ray.reporting.pictures.search_payback_picture import search_payback_picture
from zeus_ray.reporting.pictures.search_pictures import search_pictures
from zeus_ray.reporting.pictures.sweep_width_picture import sweep_picture
from zeus_ray.reporting.savings import savings

TRIAL = "trial: number is batch size, colour is limit"
FRONTS = [
    ([], []),
    ([(1, 1)], [(1, 1)]),
    ([(1, 3), (2, 2), (3, 1)], [(1, 3), (2, 2), (3, 1)]),
    ([(3, 1), (2, 2), (2, 3), (4, 1), (1, 3), (1, 4)], [(1, 3), (2, 2), (3, 1)]),
    ([(1, 1), (1, 1)], [(1, 1)]),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return small_search(tmp_path_factory.mktemp("log"))


def named(picture, name):
    (layer,) = [layer for layer in picture.layers if getattr(layer, "name", None) == name]
    return layer


@pytest.mark.parametrize(("points", "front"), FRONTS)
def test_pareto_front(points, front):
    assert pareto_front(points) == front


def test_pareto_shows_what_reached_the_target_and_names_the_rest(search):
    picture = pareto_picture(savings(search))
    trials, baseline = named(picture, TRIAL), named(picture, "baseline's trial")
    assert trials.texts == ("64", "128")
    assert (trials.x, trials.y) == ((8.0, 7.5), (30.0, 36.0))
    assert (baseline.texts, baseline.symbol) == (("32",), "diamond")
    assert named(picture, "answer").y == (30.0,)
    assert "did not reach the target: batch sizes 1024 (cost cap)." in picture.footnote
    assert (picture.x.label, picture.y.label) == ("time to the target (min)", "energy to the target (kJ)")
    assert picture.simulated


def test_the_line_of_equal_cost_goes_through_the_answer(report):
    picture = report.pictures["pareto"]
    line, best = named(picture, "equal cost at η = 0.5"), report.savings.best
    costs = [0.5 * y * 1e3 + 0.5 * 250 * x * 60 for x, y in zip(line.x, line.y, strict=True)]
    assert costs == pytest.approx([0.5 * best.energy_j + 0.5 * 250 * best.time_s] * len(costs))


def test_a_trial_that_trained_on_counts_up_to_the_target(trial):
    longer = dataclasses.replace(trial(8, 100, 10), cost=100.0, cost_to_target=50.0)
    picture = pareto_picture(savings([longer, trial(16, 90, 10)]))
    assert named(picture, TRIAL).y == (50.0, 90.0)
    assert "1 trial trained on after the target" in picture.footnote


def test_trials_without_energy_are_not_drawn_and_counted(trial):
    unknown = trial(8, math.nan, 10)
    picture = pareto_picture(savings([trial(16, 10, 10), unknown]))
    assert "1 trial without a measured energy" in picture.footnote
    with pytest.raises(BadInput, match="nothing to plot"):
        pareto_picture(savings([unknown]))


def test_values_far_apart_have_a_logarithmic_axis():
    assert [axis_of("", values).log for values in ([100, 200], [100, 9_000], [0, 9_000])] == [
        False,
        True,
        False,
    ]


def test_the_cost_picture_says_what_was_tried_and_what_is_expected(report):
    picture = report.pictures["cost"]
    assert picture.x.categories == ("32", "64", "128", "256")
    assert picture.y.categories == ("100", "150", "200", "250")
    cells = picture.layers[0]
    assert all(row[3].startswith("≈") and not row[0].startswith("≈") for row in cells.texts)
    column = picture.x.categories.index("64")
    assert cells.hovers[1][column].startswith("batch size 64 at 150 W\ncost 78.5 kJ-eq (")
    assert all("\n" in text and "–" in text for row in cells.texts for text in row)
    assert set(named(picture, "frame: the answer").x) == {0.52, 1.48}
    assert len(named(picture, "trial that reached the target").x) == 3


def test_the_map_has_the_cost_of_the_answer_and_its_interval(report):
    best = report.found.best
    (cell,) = [
        expected.cost
        for expected in report.found.expected_costs
        if (expected.batch_size, expected.power_limit_w) == (best.batch_size, best.power_limit_w)
    ]
    assert (cell.mean, cell.low, cell.high) == pytest.approx(
        (best.cost.mean, best.cost.low, best.cost.high), rel=0.01
    )


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_texts_of_cells_are_legible_on_their_colours(report, theme):
    """By WCAG 2.2 AA: 4.5 to 1."""
    heat, texts = plotly_json(report.pictures["cost"], dark=theme is DARK)["data"][:2]
    known = [value for row in heat["z"] for value in row if value is not None]
    assert len(texts["x"]) == len(known)
    for x, y, colour in zip(texts["x"], texts["y"], texts["textfont"]["color"], strict=True):
        cell = colour_at(1 - scale_position(heat["z"][y][x], known), theme)
        assert contrast(cell, {"#000": "#000000", "#fff": "#ffffff"}[colour]) >= 4.5


def test_limits_that_were_not_measured_are_marked_as_expected(trial):
    around = Estimate(mean=4e4, low=3e4, high=5e4)
    expected = [
        ExpectedCost(batch_size=size, power_limit_w=100.0, cost=around, known=known)
        for size, known in ((32, "trained"), (64, "profiled"), (128, "modelled"))
    ]
    (row,) = cost_picture(savings([trial(32, 10, 10)]), expected).layers[0].texts
    assert row == ("40.0\n30–50", "≈40.0\n30–50", "≈40.0\n30–50")
    with pytest.raises(BadInput, match="nothing to plot"):
        cost_picture(savings([trial(32, 10, 10)]), [])


def test_learning_curves_show_where_a_run_was_stopped_and_what_was_expected(report):
    picture = report.pictures["curves"]
    assert named(picture, "target 0.9").y == (0.9, 0.9)
    stopped = named(picture, "stopped")
    assert len(stopped.x) == 1
    assert "batch size 256: not worth it" in stopped.hovers[0]
    assert "expected then: " in stopped.hovers[0]
    assert "chance of never: " in stopped.hovers[0]
    assert picture.scale_texts == ("32", "64", "128", "256")
    with pytest.raises(BadInput, match="nothing to plot"):
        learning_curve_picture([], TARGET)


@pytest.mark.parametrize(("key", "labelled"), [("pareto", True), ("cost", False)])
def test_both_back_ends_label_the_same_values_of_a_colour_scale(report, key, labelled):
    picture = report.pictures[key]
    labels = [f"{limit_w:g}" for limit_w in picture.scale_ticks]
    assert (list(picture.scale_labels.values()) == labels) is labelled
    drawn = plotly_json(picture)["data"]
    bars = [bar for trace in drawn if (bar := {**trace.get("marker", {}), **trace}.get("colorbar"))]
    assert bars
    assert all((bar.get("ticktext") == labels) is labelled for bar in bars)
    (bar,) = (axes for axes in picture.figure().axes if axes.get_ylabel() == picture.scale_label)
    assert ([label.get_text() for label in bar.get_yticklabels()] == labels) is labelled


def test_the_search_history_meets_the_savings_at_the_break_even(report):
    picture, saved = report.pictures["history"], report.savings
    mark, band, searching = [layer for layer in picture.layers if isinstance(layer, SpanLayer)]
    assert mark.low == saved.trainings_to_pay
    fewest, most = saved.trainings_to_pay_interval
    assert band.low == fewest
    assert band.high == min(picture.x.high, most or math.inf)
    assert f"({fewest} to {most or 'never'})" in band.name
    assert (searching.low, searching.high) == (-len(saved.trials), 0)
    assert f"is expected to have been saved after {saved.trainings_to_pay} trainings" in picture.description
    total = named(picture, "all trials so far").y[-1]
    assert total * 1e3 == pytest.approx(saved.search_cost_j)
    line = named(picture, "saved by trainings with the answer")
    slope = line.y[1] / (line.x[1] - line.x[0])
    assert (saved.trainings_to_pay - 1) * slope < total <= saved.trainings_to_pay * slope
    assert named(picture, "limit of what is spent exploring").dashed
    nothing = Exploration(
        default_cost_j=math.nan, budget_j=math.inf, spent_j=0.0, saved_j=0.0, left_j=math.inf, runs=()
    )
    with pytest.raises(BadInput, match="nothing to plot"):
        search_payback_picture(saved, nothing)


def test_power_has_windows_and_epochs():
    trace = [(float(s), 100.0, 250.0) for s in range(0, 2000, 10)]
    picture = power_picture(trace, epoch_ends_s=range(20, 1000, 20), windows=[("forward", 60.0, 600.0)])
    spans = [(layer.name, layer.low) for layer in picture.layers if isinstance(layer, SpanLayer)]
    assert spans[0] == ("forward", 1.0)
    assert len(spans) <= 13  # of many epochs some are marked
    assert (picture.x.label, picture.y.label) == ("time (min)", "power (W)")
    assert "unknown" in power_picture([(0.0, math.nan, math.nan)]).description
    with pytest.raises(BadInput, match="was a GPU measured"):
        power_picture([])


def test_power_is_that_since_the_point_before_and_readings_before_the_trial_are_left_out():
    trace = [
        (0.0, 300.0, 175.0),
        (0.0, 300.0, 100.0),
        (8.0, 95.0, 100.0),
        (8.0, 95.0, 225.0),
        (9.0, 140.0, 225.0),
    ]
    picture = power_picture(trace)
    drawn, limits = named(picture, "power drawn"), named(picture, "power limit")
    assert (drawn.x, drawn.y) == ((0.0, 8.0, 8.0, 9.0), (95.0, 95.0, 140.0, 140.0))
    assert (limits.x, limits.y) == ((0.0, 8.0, 9.0), (100.0, 225.0, 225.0))
    assert (
        "95 W to 140 W. Limits from 100 W to 225 W were in force, the last of them 225 W."
        in picture.description
    )


@pytest.mark.parametrize("high", [1, 3, 9, 28, 99, 100, 12_345])
@pytest.mark.parametrize("low", [0, 1, -7])
def test_ticks_are_few_whole_and_a_round_distance_apart(low, high):
    ticks = whole_ticks(AxisScale(label="", low=low, high=high + 0.4, ticks_from=0.0))
    steps = {b - a for a, b in itertools.pairwise(ticks)}
    assert 1 <= len(ticks) <= 12
    assert ticks[-1] <= high
    assert ticks[0] >= max(0, low)
    assert len(steps) <= 1
    assert all(str(step).rstrip("0") in ("1", "2", "5") for step in steps)


def test_the_sweep_is_on_the_curve_of_the_grid():
    steps = [(3600.0 * h, 100.0 + 50 * h, h % 3, (h + 1) % 3) for h in range(6)]
    picture = sweep_picture(steps, unit="gCO2eq/kWh", deadline_s=8 * 3600.0)
    assert [layer.name for layer in picture.layers] == ["running", "planned", "gCO2eq/kWh", "deadline"]
    assert (picture.x.label, picture.second.label) == ("time (h)", "gCO2eq/kWh")
    ran = [(at, value, math.nan, running) for at, value, _, running in steps]
    measured = sweep_picture(ran, unit="EUR/kWh", gpus=["V100"], measured_by=["simulated"])
    assert [layer.name for layer in measured.layers] == ["running", "EUR/kWh"]
    assert "SIMULATED" in measured.note
    with pytest.raises(BadInput, match="nothing to plot"):
        sweep_picture([], unit="")


def test_what_cannot_be_drawn_is_named_with_the_reason(report, tmp_path):
    elsewhere = dataclasses.replace(report.found, history=str(tmp_path / "none"))
    drawn, missing = search_pictures(report.savings, elsewhere)
    assert [picture.key for picture in drawn] == ["pareto", "cost", "history"]
    (why,) = missing
    assert why.startswith("Not drawn: learning curves, as the event log of the search is not on this machine")
    assert str(tmp_path / "none") in why
    drawn, missing = search_pictures(report.savings, None)
    assert [picture.key for picture in drawn] == ["pareto"]
    assert "stores no answer" in missing[0]


def test_without_a_goal_nothing_is_said_to_have_been_expected(report):
    other = dataclasses.replace(report.found, goal=SearchGoal())
    drawn, _missing = search_pictures(report.savings, other)
    assert "expected" not in named(drawn[2], "stopped").hovers[0]


def contrast(one, other):
    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_colours_are_legible_on_both_papers(theme):
    """WCAG 2: 4.5 for text; 2 at least for the lightest of a scale, whose values are there as text."""
    assert min(contrast(colour, theme.paper) for colour in (theme.ink, theme.warning)) >= 4.5
    assert min(contrast(colour, theme.paper) for colour in (*COLOURS.values(), *theme.scale)) >= 2
    for step in range(11):
        colour = colour_at(step / 10, theme)
        assert contrast(colour, "#000000" if is_light(colour) else "#ffffff") >= 4.5


def test_layers_are_drawn_from_known_names(report):
    for picture in report.pictures.values():
        assert picture.description in repr(picture)
        assert len(repr(picture)) < 400
        for layer in picture.layers:
            if isinstance(layer, PointLayer):
                assert {layer.colour, *([layer.outline] if layer.outline else [])} <= set(COLOURS)
            if isinstance(layer, LineLayer):
                assert layer.colour in {*COLOURS, "ink"}
