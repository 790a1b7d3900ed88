"""The pictures: that they are drawn, and that they show what the trials say."""

import math
import subprocess
import sys

import pytest
from matplotlib.colors import to_rgba

from zeus_ray.errors import BadInput
from zeus_ray.reporting import canvas, plots

pytestmark = pytest.mark.pictures

FRONTS = [
    ([], []),
    ([(1, 1)], [(1, 1)]),
    ([(1, 3), (2, 2), (3, 1)], [(1, 3), (2, 2), (3, 1)]),
    ([(3, 1), (2, 2), (2, 3), (4, 1), (1, 3), (1, 4)], [(1, 3), (2, 2), (3, 1)]),
    ([(1, 1), (1, 1)], [(1, 1)]),
]


@pytest.mark.parametrize(("spots", "best"), FRONTS)
def test_the_front_is_what_none_beats_in_both(spots, best):
    assert plots.front(spots) == best


def texts(figure):
    axes = figure.axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    return labels + [text.get_text() for text in axes.texts]


def hollow(figure):
    faces = [mark.get_facecolor()[0] for mark in figure.axes[0].collections]
    return sum(tuple(face) == (1, 1, 1, 0.85) for face in faces)


def test_pareto_marks_baseline_cheapest_and_those_that_failed(search):
    figure = plots.pareto(search)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (min)", "energy (kJ)")
    words = texts(figure)
    assert {"64", "128", "32", "1024", "baseline", "cheapest", "Pareto front"} <= set(words)
    assert "simulated V100: a model, not a measurement" in words
    assert hollow(figure) == 1
    assert [tuple(xy) for xy in axes.lines[0].get_xydata()] == [(7.5, 36.0), (8.0, 30.0)]
    bar = figure.axes[1]
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["125", "150", "175", "250"]


def test_far_apart_is_drawn_in_logarithms(trial):
    near, far = (
        plots.pareto([trial(8, 100, 10), trial(16, energy_j, 20)]).axes[0] for energy_j in (200, 9_000)
    )
    assert (near.get_yscale(), far.get_yscale()) == ("linear", "log")


def test_without_a_known_limit_there_is_no_colour_bar(trial):
    figure = plots.pareto([trial(8, 100, 10, limit_w=math.nan)])
    assert len(figure.axes) == 1
    assert tuple(figure.axes[0].collections[0].get_facecolor()[0]) == to_rgba(canvas.FAINT)


def test_cost_by_batch_size(search):
    axes = plots.cost_by_batch_size(search).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["32", "64", "128", "1024"]
    assert [tuple(xy) for xy in axes.lines[0].get_xydata()] == [(0, 40), (1, 30), (2, 36)]


def test_power_timeline():
    figure = plots.power_timeline([(0.0, 32.0, 250.0), (100.0, 230.0, 250.0), (200.0, 95.0, 100.0)])
    drawn, limit = figure.axes[0].lines
    assert list(drawn.get_ydata()) == [32, 230, 95]
    assert list(limit.get_ydata()) == [250, 250, 100]
    assert figure.axes[0].get_xlabel() == "time (min)"
    plots.power_timeline([(0.0, math.nan, math.nan)])


@pytest.mark.parametrize("draw", [plots.pareto, plots.cost_by_batch_size, plots.power_timeline])
def test_nothing_to_plot_says_why(draw):
    with pytest.raises(BadInput, match="nothing to plot"):
        draw([])


def test_trials_without_energy_are_left_out(trial):
    unknown = trial(8, math.nan, 10)
    assert hollow(plots.pareto([trial(16, 10, 10), unknown])) == 0
    with pytest.raises(BadInput, match="was a GPU measured"):
        plots.pareto([unknown])


def test_saved_by_the_ending_of_the_name(search, tmp_path):
    png = plots.save(plots.pareto(search), tmp_path / "new" / "pareto.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in plots.save(plots.pareto(search), str(tmp_path / "pareto.svg")).read_text()


def test_no_global_state_of_matplotlib_is_touched():
    code = "import sys, zeus_ray.reporting.plots; print('matplotlib.pyplot' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_the_plan_is_drawn_against_what_happened(tmp_path):
    from zeus_ray.reporting import carbon_figure as grid

    looks = [(3600.0 * h, 100.0 + 50 * h, h % 3, (h + 1) % 3) for h in range(6)]
    ahead = ([5 * 3600.0, 6 * 3600.0, 8 * 3600.0], [1.0, 2.0])
    figure = grid.trials_over_time(looks, unit="gCO2eq/kWh", deadline_s=8 * 3600.0, ahead=ahead)
    assert plots.save(figure, tmp_path / "grid.png").stat().st_size > 5_000
    assert {text.get_text() for text in figure.axes[0].get_legend().get_texts()} == {
        "running",
        "planned",
        "planned from here",
    }
    with pytest.raises(BadInput, match="nothing to plot"):
        grid.trials_over_time([], unit="")
