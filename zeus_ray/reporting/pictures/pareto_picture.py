"""Energy against time to the target, with the line of equal cost that chose the answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import (
    Scale,
    counted,
    energy,
    energy_scale,
    joule_equivalents,
    power,
    seconds,
    three_digits,
    time_scale,
)
from zeus_ray.records import SearchGoal
from zeus_ray.reporting.pictures.picture import (
    AxisScale,
    Layer,
    LineLayer,
    Picture,
    PointLayer,
    axis_of,
    note_of,
)
from zeus_ray.reporting.savings import Savings
from zeus_ray.reporting.trials_from_result import TrialSummary

LINE_POINTS = 80


def pareto_picture(saved: Savings) -> Picture:
    """Energy against time of each trial that reached the target; its batch size is on it.

    Trials that were stopped took little of both because they did not finish: they are named below, and not
    drawn where a good trial would be.

    Raises:
        BadInput: no trial that reached the target has both energy and time.
    """
    shown = [_to_target(trial) for trial in saved.trials if trial.target_reached and trial.energy_j > 0]
    shown = [trial for trial in shown if trial.time_s > 0]
    if not shown:
        raise BadInput(
            "no trial has reached the target with energy and time measured: there is nothing to plot"
        )
    answer = saved.best
    joules, times = energy_scale([t.energy_j for t in shown]), time_scale([t.time_s for t in shown])
    expected = [] if answer is None else _expected(saved, answer)
    points = [*shown, *expected]
    x = axis_of(f"time to the target ({times.unit})", [t.time_s / times.size for t in points])
    y = axis_of(f"energy to the target ({joules.unit})", [t.energy_j / joules.size for t in points])
    limits_w = sorted({round(t.power_limit_w) for t in shown if math.isfinite(t.power_limit_w)})
    note, simulated = note_of([t.gpu for t in shown], [t.measured_by for t in shown])
    layers = [
        *_front([t for t in shown if t.target_reached], joules, times),
        *(_equal_cost(answer, saved.goal, (x, y), (times, joules)) if answer is not None else ()),
        *(_trials(shown, joules, times)),
        *(_mark(saved, trial, joules, times) for trial in expected),
    ]
    return Picture(
        key="pareto",
        title="Energy and time to the target",
        x=x,
        y=y,
        layers=tuple(layers),
        description=_description(shown, saved),
        note=note,
        simulated=simulated,
        footnote=" ".join(_footnotes(saved, shown)),
        scale_label="power limit (W)" if limits_w else "",
        scale_ticks=tuple(map(float, limits_w)),
    )


def _to_target(trial: TrialSummary) -> TrialSummary:
    """The trial up to its first report that reached the target; scaled by cost where it went on."""
    share = trial.cost_to_target / trial.cost if trial.cost > 0 else math.nan
    if not share < 1:
        return trial
    return replace(trial, energy_j=trial.energy_j * share, time_s=trial.time_s * share)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other point is below in one coordinate and not above in the other, left to right."""
    front: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def _front(shown: Sequence[TrialSummary], joules: Scale, times: Scale) -> Iterator[Layer]:
    front = pareto_front([(t.time_s / times.size, t.energy_j / joules.size) for t in shown])
    if len(front) > 1:
        x, y = zip(*front, strict=True)
        yield LineLayer(x=x, y=y, name="Pareto front of single runs", colour="grey")


def _equal_cost(
    answer: TrialSummary,
    goal: SearchGoal | None,
    axes: tuple[AxisScale, AxisScale],
    scales: tuple[Scale, Scale],
) -> Iterator[Layer]:
    """Energy and time that together cost as much as the answer: what is below costs less."""
    if goal is None or not goal.eta > 0 or not math.isfinite(goal.max_power_w * answer.energy_j):
        return
    (x, y), (times, joules) = axes, scales
    watts = (1 - goal.eta) * goal.max_power_w * goal.gpus
    cost_j = goal.eta * answer.energy_j + watts * answer.time_s
    at = np.geomspace(x.low, x.high, LINE_POINTS) if x.low > 0 else np.linspace(x.low, x.high, LINE_POINTS)
    line = [(float(t), float((cost_j - watts * t * times.size) / goal.eta / joules.size)) for t in at]
    inside = [point for point in line if y.low <= point[1] <= y.high]
    if len(inside) > 1:
        xs, ys = zip(*inside, strict=True)
        yield LineLayer(x=xs, y=ys, name=f"equal cost at η = {goal.eta:g}", colour="green", dashed=True)


def _trials(shown: Sequence[TrialSummary], joules: Scale, times: Scale) -> Iterator[Layer]:
    for baseline in (False, True):
        trials = [trial for trial in shown if trial.is_baseline is baseline]
        if trials:
            yield PointLayer(
                x=tuple(t.time_s / times.size for t in trials),
                y=tuple(t.energy_j / joules.size for t in trials),
                name=("baseline's trial" if baseline else "trial: number is batch size, colour is limit"),
                symbol="diamond" if baseline else "circle",
                outline="red" if baseline else "",
                values=tuple(t.power_limit_w for t in trials),
                texts=tuple(str(t.batch_size or "") for t in trials),
                hovers=tuple(trial_text(t) for t in trials),
                size=17 if baseline else 15,
            )


def _expected(saved: Savings, answer: TrialSummary) -> list[TrialSummary]:
    """The answer, and the baseline where what is compared with it is not its trial as measured."""
    also = [saved.reference] if saved.is_expected and saved.reference and not saved.default_is_best else []
    return [t for t in (*also, answer) if math.isfinite(t.energy_j)]


def _mark(saved: Savings, trial: TrialSummary, joules: Scale, times: Scale) -> Layer:
    """A frame at what is expected of a training with the knobs of the answer or of the baseline."""
    is_answer = trial is saved.best
    name = ("answer" if is_answer else "baseline") + (", expected" if saved.is_expected else "")
    text = (
        f"{name}: {trial.knobs_text}\n{energy(trial.energy_j)} in {seconds(trial.time_s)}, "
        f"cost {joule_equivalents(trial.measured_cost)}"
    )
    return PointLayer(
        x=(trial.time_s / times.size,),
        y=(trial.energy_j / joules.size,),
        name=name,
        symbol="square" if is_answer else "diamond",
        colour="green" if is_answer else "red",
        filled=False,
        hovers=(text,),
        size=24 if is_answer else 22,
    )


def trial_text(trial: TrialSummary) -> str:
    """A trial in full, on several lines."""
    first = "baseline: " if trial.is_baseline else ""
    ended = trial.stop_reason or "ended by itself"
    weighed = f", cost {joule_equivalents(trial.measured_cost)}" if math.isfinite(trial.measured_cost) else ""
    limit = power(trial.power_limit_w)
    return (
        f"{first}batch size {trial.batch_size} at {limit}\n"
        f"{energy(trial.energy_j)} in {seconds(trial.time_s)}{weighed}\n"
        f"{three_digits(trial.epochs)} epochs, {ended}"
    )


def _description(shown: Sequence[TrialSummary], saved: Savings) -> str:
    least = min(shown, key=lambda t: t.energy_j)
    fastest = min(shown, key=lambda t: t.time_s)
    text = (
        f"{counted(len(shown), 'trial')}, one run each, by the energy and time that they took. The least "
        f"energy of a trial: {least.knobs_text}, {energy(least.energy_j)}. The least time: "
        f"{fastest.knobs_text}, {seconds(fastest.time_s)}."
    )
    best = saved.best
    if best is None or math.isnan(best.energy_j):
        return text
    how = "is expected to take" if saved.is_expected else "took"
    return f"{text} The answer, {best.knobs_text}, {how} {energy(best.energy_j)} in {seconds(best.time_s)}."


def _footnotes(saved: Savings, shown: Sequence[TrialSummary]) -> Iterator[str]:
    drawn = {trial.trial_id for trial in shown}
    unmeasured = [t for t in saved.trials if t.target_reached and t.trial_id not in drawn]
    stopped = [t for t in saved.trials if not t.target_reached]
    if stopped:
        names = ", ".join(f"{t.batch_size} ({t.stop_reason or 'ended by itself'})" for t in stopped[:12])
        more = f" and {len(stopped) - 12} more" if len(stopped) > 12 else ""
        yield f"Not drawn, as they did not reach the target: batch sizes {names}{more}."
    if unmeasured:
        yield f"{counted(len(unmeasured), 'trial')} without a measured energy are not drawn."
    went_on = sum(t.target_reached and t.cost_to_target < t.cost for t in saved.trials)
    if went_on:
        yield f"{counted(went_on, 'trial')} trained on after the target: drawn up to it, by share of cost."
