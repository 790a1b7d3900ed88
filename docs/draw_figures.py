"""Draws every picture of the site into ``docs/assets``: ``make figures`` (half a minute, simulated GPU).

The diagrams (``*.svg`` with ``class="diagram"``) are drawn by hand and are not written here.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

import zeus_ray as zeus
from zeus_ray.gpus.simulated_power_and_time import card, power_w, time_per_sample_s, uncapped_power_w
from zeus_ray.objective import cost
from zeus_ray.reporting.pictures.picture import SAVED_DPI, AxisScale, LineLayer, Picture, PointLayer
from zeus_ray.reporting.pictures.picture_colours import COLOURS, LIGHT

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "docs" / "assets"
ROW = re.compile(r"^(\S+) +(p100|v100) +(zeus-ray|default) .* (-?[\d.]+) ± [\d.]+ +[\d.]+$", re.MULTILINE)
"""A row of the table of ``bench_regret.py``: workload, GPU, column, and the regret after 50 runs."""
RUNS = 50


def cost_shares(page: str) -> dict[str, float]:
    """Cost of 50 trainings, exploring included, as a share of the default's, from ``benchmarks/REGRET.md``.

    Regret is in runs of the optimum: 50 runs with a regret of 6 cost as much as 56 runs of the optimum.
    """
    runs = {(name, gpu, column): RUNS + float(regret) for name, gpu, column, regret in ROW.findall(page)}
    return {
        f"{name}, {gpu.upper()}": runs[name, gpu, "zeus-ray"] / runs[name, gpu, "default"]
        for name, gpu, column in runs
        if column == "default"
    }


def draw_savings() -> None:
    """The cost of 50 trainings on recorded traces, against the default batch size at the highest limit."""
    shares = dict(sorted(cost_shares((ROOT / "benchmarks" / "REGRET.md").read_text()).items(), reverse=True))
    figure = Figure(figsize=(8, 3.6), layout="constrained", facecolor=LIGHT.paper)
    axes = figure.add_subplot()
    axes.set_title("Cost of 50 trainings, exploring included", loc="left", fontweight="bold", color=LIGHT.ink)
    axes.spines[:].set_visible(False)
    percent = [100 * share for share in shares.values()]
    axes.barh(list(shares), [100] * len(shares), color=LIGHT.grid, height=0.62)
    axes.barh(list(shares), percent, color=COLOURS["blue"], height=0.62)
    for place, value in enumerate(percent):
        axes.annotate(f"{value:.0f} %", (value, place), (-6, 0), textcoords="offset points", color="white",
                      ha="right", va="center", fontweight="bold")  # fmt: skip
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 100)
    axes.set_xlabel("cost, % of the default batch size at the highest power limit (recorded traces, η = 0.5)")
    figure.savefig(ASSETS / "savings.svg", dpi=SAVED_DPI)


def draw_limits() -> None:
    """Energy, time and cost of an epoch by power limit, on the model of a V100."""
    model, batch_size, samples = card("V100"), 256, 50_000
    full_w = uncapped_power_w(model, batch_size)
    limits_w = list(range(100, 251, 5))
    times_s = [samples * time_per_sample_s(model, batch_size, limit_w) for limit_w in limits_w]
    joules = [time_s * power_w(limit_w, full_w) for time_s, limit_w in zip(times_s, limits_w, strict=True)]
    layers = []
    for eta, colour, name in ((0.0, "red", "η = 0: time"), (0.5, "ink", "η = 0.5"),
                              (1.0, "green", "η = 1: energy")):  # fmt: skip
        costs = [cost(e, t, eta=eta, max_power_w=250) for e, t in zip(joules, times_s, strict=True)]
        shares = [value / costs[-1] for value in costs]
        least = min(range(len(shares)), key=lambda i: (shares[i], -i))
        layers.append(LineLayer(x=tuple(limits_w), y=tuple(shares), name=name, colour=colour))
        dot = (float(limits_w[least]),), (shares[least],)
        layers.append(PointLayer(x=dot[0], y=dot[1], colour="grey" if colour == "ink" else colour, size=8))
    heights = [value for layer in layers if isinstance(layer, LineLayer) for value in layer.y]
    picture = Picture(
        key="limits",
        title="An epoch at each power limit",
        note="SIMULATED by a model of a V100",
        simulated=True,
        x=AxisScale(label="power limit (W)", low=95, high=255),
        y=AxisScale(
            label="cost, in multiples of that at 250 W", low=0.95 * min(heights), high=1.03 * max(heights)
        ),
        layers=tuple(layers),
        description="Energy, time and cost of an epoch by power limit.",
    )
    picture.save(ASSETS / "cost_by_limit.svg")


def draw_profiling() -> None:
    """Power over time of one training: limits are profiled, then the best one is kept."""
    with zeus.session(batch_size=256) as run:
        for _batch in run.steps([range(256)] * 130):  # an epoch of 130 batches
            pass
        run.report({})
        picture = run.power_picture("Power over time of one training")
    picture.save(ASSETS / "profiling.svg")


def run_quickstart() -> None:
    """Run the script of the first page; keep what it prints and its plot."""
    page = (ROOT / "docs" / "index.md").read_text()
    script = page.partition("```python\n")[2].partition("```")[0]
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"RAY_ADDRESS": "local", "RAY_AIR_NEW_OUTPUT": "0", "COLUMNS": "84", "HOME": folder}
        ran = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **quiet},
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        same_day = re.sub(r"train_[\d_-]{19}", "train_2026-12-01_08-00-00", ran.stdout)
        lines = [line.rstrip() for line in same_day.splitlines()]
        (ASSETS / "quickstart.txt").write_text("\n".join(lines).strip("\n") + "\n")
        shutil.copy(Path(folder) / "pareto.png", ASSETS / "quickstart.png")


if __name__ == "__main__":
    os.environ["ZEUS_RAY_GPU"] = "simulated:V100"
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # the same picture is the same file
    mpl.rcParams["svg.hashsalt"] = "zeus-ray"
    mpl.rcParams["svg.fonttype"] = "none"
    draw_savings()
    draw_limits()
    draw_profiling()
    run_quickstart()
