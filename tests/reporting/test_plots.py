"""The plots: what they contain, for given trials."""

import math
import subprocess
import sys

import pytest
from matplotlib.colors import to_rgba

from zeus_ray.errors import BadInput
from zeus_ray.reporting import plots
from zeus_ray.reporting.figure_style import GREY

pytestmark = pytest.mark.pictures

FRONTS = [
    ([], []),
    ([(1, 1)], [(1, 1)]),
    ([(1, 3), (2, 2), (3, 1)], [(1, 3), (2, 2), (3, 1)]),
    ([(3, 1), (2, 2), (2, 3), (4, 1), (1, 3), (1, 4)], [(1, 3), (2, 2), (3, 1)]),
    ([(1, 1), (1, 1)], [(1, 1)]),
]


@pytest.mark.parametrize(("points", "front"), FRONTS)
def test_pareto_front(points, front):
    assert plots.pareto_front(points) == front


def texts(figure):
    axes = figure.axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    return labels + [text.get_text() for text in axes.texts]


def hollow(figure):
    faces = [mark.get_facecolor()[0] for mark in figure.axes[0].collections]
    return sum(tuple(face) == (1, 1, 1, 0.85) for face in faces)


def test_pareto_marks_the_baseline_the_best_and_trials_that_failed(search):
    figure = plots.plot_pareto(search, next(trial for trial in search if trial.batch_size == 64))
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (min)", "energy (kJ)")
    shown = texts(figure)
    assert {"64", "128", "32", "1024", "baseline", "best", "Pareto front"} <= set(shown)
    assert "simulated V100: SIMULATED by a model, not measured" in shown
    assert hollow(figure) == 1
    assert [tuple(xy) for xy in axes.lines[0].get_xydata()] == [(7.5, 36.0), (8.0, 30.0)]
    bar = figure.axes[1]
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["125", "150", "175", "250"]


def test_values_far_apart_have_a_logarithmic_axis(trial):
    near, far = (
        plots.plot_pareto([trial(8, 100, 10), trial(16, energy_j, 20)]).axes[0] for energy_j in (200, 9_000)
    )
    assert (near.get_yscale(), far.get_yscale()) == ("linear", "log")


def test_without_a_known_limit_there_is_no_colour_bar(trial):
    figure = plots.plot_pareto([trial(8, 100, 10, limit_w=math.nan)])
    assert len(figure.axes) == 1
    assert tuple(figure.axes[0].collections[0].get_facecolor()[0]) == to_rgba(GREY)


def test_cost_by_batch_size(search):
    axes = plots.plot_cost_by_batch_size(search).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["32", "64", "128", "1024"]
    assert [tuple(xy) for xy in axes.lines[0].get_xydata()] == [(0, 40), (1, 30), (2, 36)]


def test_power():
    figure = plots.plot_power([(0.0, 32.0, 250.0), (100.0, 230.0, 250.0), (200.0, 95.0, 100.0)])
    drawn, limit = figure.axes[0].lines
    assert list(drawn.get_ydata()) == [32, 230, 95]
    assert list(limit.get_ydata()) == [250, 250, 100]
    assert figure.axes[0].get_xlabel() == "time (min)"
    plots.plot_power([(0.0, math.nan, math.nan)])


@pytest.mark.parametrize("draw", [plots.plot_pareto, plots.plot_cost_by_batch_size, plots.plot_power])
def test_nothing_to_plot_is_an_error_with_the_reason(draw):
    with pytest.raises(BadInput, match="nothing to plot"):
        draw([])


def test_trials_without_energy_are_left_out(trial):
    unknown = trial(8, math.nan, 10)
    assert hollow(plots.plot_pareto([trial(16, 10, 10), unknown])) == 0
    with pytest.raises(BadInput, match="was a GPU measured"):
        plots.plot_pareto([unknown])


def test_the_suffix_is_the_format(search, tmp_path):
    png = plots.save_figure(plots.plot_pareto(search), tmp_path / "new" / "pareto.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in plots.save_figure(plots.plot_pareto(search), str(tmp_path / "pareto.svg")).read_text()


def test_pyplot_is_not_imported():
    code = "import sys, zeus_ray.reporting.plots; print('matplotlib.pyplot' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_trials_over_time(tmp_path):
    steps = [(3600.0 * h, 100.0 + 50 * h, h % 3, (h + 1) % 3) for h in range(6)]
    planned = ([5 * 3600.0, 6 * 3600.0, 8 * 3600.0], [1.0, 2.0])
    figure = plots.plot_trials_over_time(steps, unit="gCO2eq/kWh", deadline_s=8 * 3600.0, planned=planned)
    assert plots.save_figure(figure, tmp_path / "grid.png").stat().st_size > 5_000
    legend = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert legend == {"running", "planned", "planned from here"}
    assert [axes.get_ylabel() for axes in figure.axes] == ["trials", "gCO2eq/kWh"]
    assert figure.axes[0].get_xlabel() == "time (h)"
    with pytest.raises(BadInput, match="nothing to plot"):
        plots.plot_trials_over_time([], unit="")
