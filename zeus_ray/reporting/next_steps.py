"""What to do with the answer of a search: use it, check it, show it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from pathlib import Path

from zeus_ray.quantity_format import energy, seconds
from zeus_ray.records import VIRTUAL_ENERGY
from zeus_ray.reporting.savings import Savings
from zeus_ray.reporting.trials_from_result import TrialSummary

AFTER_A_SEARCH = (
    (
        "After a search of your own, to narrow its intervals: pass the same ZeusSearcher to Tune again, "
        "which trains the answer once more."
    ),
    (
        "Then check that the network is as good: zeus.verify(result), with what Tune returned, trains to the "
        "end with the answer and with the default, and compares the final metric."
    ),
    (
        "Then set the learning rate of the answer, and put this around your training loop:\n"
        "with zeus.session(batch_size=..., power_limit_w=...) as run:"
    ),
)


def next_steps(saved: Savings, *, folder: str = "", verified: bool = False, example: str = "") -> list[str]:
    """Two to five steps, the first one first; none without an answer, which says itself what to do.

    What is to be typed is on a line of its own.

    Args:
        saved: the answer against the baseline.
        folder: of the experiment, which the report reads; "" where it has none here.
        verified: whether the final metric was compared.
        example: said first, where the search is an example; "" for one of a user.
    """
    return [] if saved.best is None else list(_steps(saved, folder, example, verified=verified))


def _steps(saved: Savings, folder: str, example: str, *, verified: bool) -> Iterator[str]:
    show = f"Show it, with all pictures:\nzeus-ray report --html report.html {_short(Path(folder))}"
    shown = [show] if Path(folder or "missing").is_dir() else []
    if not example and VIRTUAL_ENERGY.intersection(saved.measured_by):
        example = (
            f"This answer is an example: it was not measured ({' and '.join(saved.gpus)}). Run the script, "
            "the notebook or the demo of this search again on your own GPU, without ZEUS_RAY_GPU in the "
            "environment or in the code; the documentation's quick start is for a training of your own."
        )
    if example:
        yield from (example, *shown, *AFTER_A_SEARCH)
        return
    if not saved.default_is_best and saved.cost_share_interval.may_be_chance:
        yield (
            "Narrow the interval, which still includes zero: pass the same ZeusSearcher to Tune again, "
            f"which trains the answer once more{_takes(saved.best)}."
        )
    if not verified and not saved.default_is_best:
        yield (
            "Check that the network is as good: zeus.verify(result), with what Tune returned, trains to the "
            f"end with the answer{_takes(saved.best)} and with the default{_takes(saved.reference)}, and "
            "compares the final metric."
        )
    yield _use(saved)
    yield from shown


def _takes(training: TrialSummary | None) -> str:
    """What a training takes to the target, and so at least, in brackets; "" where that is unknown."""
    if training is None or math.isnan(training.energy_j):
        return ""
    return f" (at least {energy(training.energy_j)} and {seconds(training.time_s)})"


def _short(folder: Path) -> str:
    """The folder for a command line, from here or from home where it lies below."""
    for base, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        if folder.is_relative_to(base):
            return prefix + shlex.quote(str(folder.relative_to(base)))
    return shlex.quote(str(folder))


def _use(saved: Savings) -> str:
    """How a training gets the knobs of the answer."""
    best = saved.best
    if best is None:
        return ""
    if saved.default_is_best:
        return f"Keep batch size {best.batch_size} and its limit: nothing in your training changes."
    limit_w = saved.answer.power_limit_w if saved.answer else best.power_limit_w
    unset = bool(best.advice) or limit_w is None or math.isnan(limit_w)
    limit = "" if unset else f", power_limit_w={limit_w:.0f}"
    session = f"zeus.session(batch_size={best.batch_size}{limit})"
    rate = f"set the learning rate to {best.lr:.3g}, and " if best.lr_rule else ""
    return f"Use the answer: {rate}put this around the training loop:\nwith {session} as run:"
