"""Learning curves by batch size: where each run ended, and what was expected of it then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import counted, energy, seconds, three_digits
from zeus_ray.records import Target
from zeus_ray.reporting.pictures.picture import (
    AxisScale,
    Layer,
    LineLayer,
    Picture,
    PointLayer,
    axis_of,
    note_of,
)
from zeus_ray.reporting.pictures.picture_colours import scale_position
from zeus_ray.search.expected_epochs_of_run import ExpectedEpochs
from zeus_ray.store.events import RunEnded

EPOCHS_ARE_NOT_COST = (
    "Fewer epochs are not less cost: what an epoch costs differs with the batch size, see the expected cost."
)
EXPECTED_THEN = (
    " Dashed grey: from where a run was stopped to where the search then expected it to reach the target."
)
FAR_AHEAD = 4.0
"""An expectation further than this many times the longest run is not drawn to its end."""


def learning_curve_picture(
    runs: Sequence[RunEnded], target: Target, expected: Mapping[str, ExpectedEpochs] | None = None
) -> Picture:
    """The metric of each run over its epochs.

    Args:
        runs: oldest first.
        target: drawn as a horizontal line.
        expected: by run, what was expected of it when it was stopped.

    Raises:
        BadInput: no run has reported its metric.
    """
    shown = [run for run in runs if any(math.isfinite(point.metric) for point in run.curve)]
    if not shown:
        raise BadInput("no run has reported its metric: there is nothing to plot")
    expected = expected or {}
    sizes = sorted({run.outcome.knobs.batch_size for run in shown})
    ticks = tuple(math.log2(size) for size in sizes)
    epochs = [point.epoch for run in shown for point in run.curve]
    metrics = [point.metric for run in shown for point in run.curve]
    if target.value is not None:
        metrics.append(target.value)
    ahead = [e.epochs.mean for e in expected.values() if e.epochs.mean <= FAR_AHEAD * max(epochs)]
    x = axis_of("epochs (passes over the training data)", [0.0, *epochs, *ahead], from_zero=True)
    direction = "higher is better" if target.mode == "max" else "lower is better"
    y = axis_of(f"{target.metric} ({direction})", metrics)
    y = AxisScale(label=y.label, low=y.low, high=y.high)
    note, simulated = note_of([r.outcome.gpu for r in shown], [r.report.measured_by for r in shown])
    if simulated:
        note = f"real training; energy and time {note.rpartition(': ')[2]}"
    reached = sum(run.outcome.reached for run in shown)
    return Picture(
        key="curves",
        title="Learning curves by batch size",
        x=x,
        y=y,
        layers=(
            *_target_line(target, x),
            *_curves(shown, ticks),
            *_expectations(shown, target, expected, x),
            *_ends(shown, expected),
        ),
        description=(
            f"{counted(len(shown), 'trial')} that the search chose, at {len(sizes)} batch sizes, "
            f"{target.metric} by epoch; {reached} reached the target. The baseline is not among them."
        ),
        note=note,
        simulated=simulated,
        footnote=EPOCHS_ARE_NOT_COST + (EXPECTED_THEN if ahead else ""),
        scale_label="batch size",
        scale_ticks=ticks,
        scale_texts=tuple(map(str, sizes)),
    )


def _target_line(target: Target, x: AxisScale) -> Iterator[Layer]:
    if target.value is not None:
        value = target.value
        yield LineLayer(x=(x.low, x.high), y=(value, value), name=f"target {value:g}", dashed=True)


def _curves(runs: Sequence[RunEnded], ticks: Sequence[float]) -> Iterator[Layer]:
    for run in runs:
        points = [point for point in run.curve if math.isfinite(point.metric)]
        size = run.outcome.knobs.batch_size
        yield LineLayer(
            x=tuple(point.epoch for point in points),
            y=tuple(point.metric for point in points),
            value=scale_position(math.log2(size), ticks),
        )


def _expectations(
    runs: Sequence[RunEnded], target: Target, expected: Mapping[str, ExpectedEpochs], x: AxisScale
) -> Iterator[Layer]:
    """Dashed from the end of a stopped run to where it was expected to reach the target."""
    name = "expected when stopped"
    for run in runs:
        then = expected.get(run.run_id)
        if then is None or target.value is None or run.outcome.reached or not then.epochs.mean <= x.high:
            continue
        last = run.curve[-1]
        line = (last.epoch, then.epochs.mean), (last.metric, target.value)
        yield LineLayer(x=line[0], y=line[1], name=name, colour="grey", dashed=True)
        name = ""


def _ends(runs: Sequence[RunEnded], expected: Mapping[str, ExpectedEpochs]) -> Iterator[Layer]:
    for reached in (True, False):
        ended = [run for run in runs if run.outcome.reached is reached]
        if ended:
            yield PointLayer(
                x=tuple(run.curve[-1].epoch for run in ended),
                y=tuple(run.curve[-1].metric for run in ended),
                name="reached the target" if reached else "stopped",
                symbol="circle" if reached else "square",
                texts=tuple(str(run.outcome.knobs.batch_size) for run in ended),
                values=tuple(math.log2(run.outcome.knobs.batch_size) for run in ended),
                hovers=tuple(_hover(run, expected.get(run.run_id)) for run in ended),
                size=15 if reached else 14,
            )


def _hover(run: RunEnded, then: ExpectedEpochs | None) -> str:
    outcome, last = run.outcome, run.curve[-1]
    lines = [
        f"batch size {outcome.knobs.batch_size}: {outcome.stop or 'ended by itself'}",
        f"{run.target.metric} {run.target.text(last.metric)} after {three_digits(last.epoch)} epochs",
        f"{energy(last.energy_j)} in {seconds(last.time_s)}",
    ]
    if then is not None:
        lines.append(then.text)
    return "\n".join(lines)
