"""What a recurring job has used and saved over its runs."""

from __future__ import annotations

import itertools
import math

from zeus_ray.errors import BadInput
from zeus_ray.jobs.job_summary import JobSummary
from zeus_ray.quantity_format import energy, energy_scale
from zeus_ray.records import NAN
from zeus_ray.reporting.pictures.picture import (
    AxisScale,
    Layer,
    LineLayer,
    Picture,
    PointLayer,
    axis_of,
    note_of,
)


def job_history_picture(summary: JobSummary) -> Picture:
    """Energy of all runs so far, beside what as many trainings with the default would have taken.

    Raises:
        BadInput: no run has a measured energy.
    """
    runs = [run for run in summary.runs if math.isfinite(run.energy_j)]
    if not runs:
        raise BadInput("no run has a measured energy: there is nothing to plot")
    used = list(itertools.accumulate((run.energy_j for run in runs), initial=0.0))
    default = [summary.default_j.get(run.report.gpu, NAN) if run.reached else 0.0 for run in runs]
    would_take = list(itertools.accumulate(default, initial=0.0))
    scale = energy_scale([*used, *would_take])
    places = tuple(map(float, range(len(used))))
    known = math.isfinite(would_take[-1])
    note, simulated = note_of([run.report.gpu for run in runs], [run.report.measured_by for run in runs])
    used_y = tuple(value / scale.size for value in used)
    layers: list[Layer] = [
        LineLayer(x=places, y=used_y, name="used, exploring included", colour="blue", filled=True),
        PointLayer(
            x=places[1:],
            y=used_y[1:],
            colour="blue",
            size=5,
            hovers=tuple(
                f"run {i}: batch size {run.knobs.batch_size}, {energy(run.energy_j)}\n{run.why_ended}"
                for i, run in enumerate(runs, 1)
            ),
        ),
    ]
    if known:
        y = tuple(value / scale.size for value in would_take)
        layers.append(
            LineLayer(x=places, y=y, name="the default would have taken", colour="red", dashed=True)
        )
    heights = [value for layer in layers if isinstance(layer, LineLayer) for value in layer.y]
    return Picture(
        key=f"history-{summary.job}",
        title=f"Energy of {summary.job}",
        x=AxisScale(label="runs, oldest first", low=0.0, high=len(runs) * 1.02, whole=True),
        y=axis_of(f"energy ({scale.unit})", heights, from_zero=True),
        layers=tuple(layers),
        description=f"{energy(used[-1])} in {len(runs)} runs. {summary.savings_sentence()}",
        note=note,
        simulated=simulated,
        footnote="" if known else "What the default would have taken is not known yet.",
    )
