"""The pictures as matplotlib and Plotly draw them."""

import math
import subprocess
import sys

import pytest
from small_search import small_search

from zeus_ray.errors import BadInput
from zeus_ray.reporting.pictures.pareto_picture import pareto_picture
from zeus_ray.reporting.pictures.picture import AxisScale, Picture, SpanLayer
from zeus_ray.reporting.pictures.picture_colours import DARK, LIGHT
from zeus_ray.reporting.pictures.power_over_time_picture import power_picture
from zeus_ray.reporting.pictures.power_trace_parquet import (
    PowerTraceInfo,
    power_trace_pictures,
    write_power_traces,
)
from zeus_ray.reporting.pictures.sweep_width_picture import sweep_picture
from zeus_ray.reporting.savings import savings

pytestmark = pytest.mark.pictures

TRACE = [(0.0, 32.0, 250.0), (100.0, 230.0, 250.0), (200.0, 95.0, 100.0)]
STEPS = [(3600.0 * h, 100.0 + 50 * h, h % 3, (h + 1) % 3) for h in range(6)]
PLANNED = ([5 * 3600.0, 6 * 3600.0, 8 * 3600.0], [1.0, 2.0])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """One of each kind."""
    found = small_search(tmp_path_factory.mktemp("log")).pictures
    windows = [("forward", 20.0, 60.0), ("backward", 50.0, 190.0)]
    power = power_picture(
        TRACE, gpu="simulated V100", measured_by="simulated", epoch_ends_s=[50.0, 150.0], windows=windows
    )
    sweep = sweep_picture(STEPS, unit="gCO2eq/kWh", deadline_s=8 * 3600.0, planned=PLANNED)
    return {**found, "power": power, "sweep": sweep}


KINDS = ["pareto", "cost", "curves", "history", "power", "sweep"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("key", KINDS)
def test_matplotlib_draws_axes_with_units_and_says_what_is_simulated(pictures, key, dark):
    figure = pictures[key].figure(dark=dark)
    axes = figure.axes[0]
    assert axes.get_xlabel() == pictures[key].x.label
    assert axes.get_ylabel() == pictures[key].y.label
    assert axes.get_title(loc="left") == pictures[key].title
    shown = [text.get_text() for text in axes.texts]
    of = "real training; energy and time" if key == "curves" else "simulated V100:"
    assert (f"{of} SIMULATED by a model, not measured" in shown) == (key != "sweep")
    assert axes.has_data()
    figure.canvas.draw()  # what does not fit is a warning, which is an error


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("key", KINDS)
def test_plotly_accepts_every_trace_and_attribute(pictures, key, dark):
    pytest.importorskip("plotly")
    figure = pictures[key].interactive(dark=dark)
    assert figure.layout.xaxis.title.text == pictures[key].x.label
    assert figure.layout.paper_bgcolor == (DARK if dark else LIGHT).paper
    assert ("SIMULATED" in figure.layout.title.text) == (key != "sweep")
    assert len(figure.data) > 0


def test_the_suffix_is_the_format(pictures, tmp_path):
    png = pictures["pareto"].save(tmp_path / "new" / "pareto.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in pictures["pareto"].save(str(tmp_path / "pareto.svg"), dark=True).read_text()
    data, described = pictures["pareto"]._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert pictures["pareto"].description in described["alt"]
    assert "SIMULATED" in described["alt"]


def test_pyplot_is_not_imported(tmp_path):
    code = (
        "import sys; from zeus_ray.reporting.pictures.power_over_time_picture import power_picture as draw; "
        f"draw([(0.0, 1.0, 2.0), (1.0, 2.0, 2.0)]).save({str(tmp_path / 'p.png')!r}); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_without_a_known_limit_there_is_no_colour_bar(trial):
    picture = pareto_picture(savings([trial(8, 100, 10, limit_w=math.nan)]))
    assert len(picture.figure().axes) == 1


def test_a_name_at_the_right_edge_stays_inside():
    axis = AxisScale(label="x", low=0.0, high=10.0)
    layers = (SpanLayer(low=0.5, high=0.5, name="first"), SpanLayer(low=9.9, high=9.9, name="last"))
    picture = Picture(key="p", title="t", x=axis, y=axis, layers=layers, description="d")
    assert [text.get_ha() for text in picture.figure().axes[0].texts[1:]] == ["left", "right"]


def test_a_stored_power_trace_has_one_picture_per_gpu(tmp_path):
    info = PowerTraceInfo(gpu="simulated V100", measured_by="simulated", epoch_ends_s=(50.0,))
    path = tmp_path / "trace.parquet"
    write_power_traces(path, {"GPU-1": TRACE, "GPU-2": TRACE}, info)
    drawn = power_trace_pictures(path)
    assert [(p.key, p.title) for p in drawn] == [
        ("power-1", "Power over time, GPU 1"),
        ("power-2", "Power over time, GPU 2"),
    ]
    assert "SIMULATED" in drawn[0].note
    assert [layer.name for layer in drawn[0].layers] == ["epoch 1", "power drawn", "power limit"]
    write_power_traces(path, {}, info)
    with pytest.raises(BadInput, match="nothing to plot"):
        power_trace_pictures(path)
    path.write_text("no parquet")
    with pytest.raises(BadInput, match=r"no power trace of run\.write_power_trace"):
        power_trace_pictures(path)
