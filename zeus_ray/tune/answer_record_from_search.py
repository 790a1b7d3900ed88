"""From a search to the record of its answer, which the experiment stores."""

from __future__ import annotations

import functools
import math
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version

from zeus_ray.carbon.constant_and_recorded_signal import RecordedSignal
from zeus_ray.carbon.objective_from_arguments import SearchObjective
from zeus_ray.errors import ZeusError
from zeus_ray.gpus.discovery import gpu_source
from zeus_ray.gpus.registry import load_source
from zeus_ray.records import GRAMS, NAN, SearchAnswer, SearchGoal
from zeus_ray.reporting.search_sentences import not_reached_sentences
from zeus_ray.reporting.trials_from_log import trials_from_log
from zeus_ray.search.search import Search
from zeus_ray.store.event_log import EventLog
from zeus_ray.store.outcome_from_reports import ActiveRun
from zeus_ray.tune.never_worse_than_baseline import (
    best_with_baseline,
    expected_baseline,
)

LIBRARIES = ("zeus-ray", "ray", "torch", "numpy", "nvidia-ml-py")


def describe_answer(
    search: Search,
    baseline: ActiveRun | None,
    *,
    objective: SearchObjective,
    history: str = "",
    ended: str = "",
) -> SearchAnswer:
    """The answer with its goal, what other trade-offs would give, and what the search has spent.

    Args:
        search: which has found it.
        baseline: its extra run of the default; None: there was none, or it failed.
        objective: what it saves.
        history: folder of its event log.
        ended: why no more trials follow; "" where they do, or that is not known.
    """
    return SearchAnswer(
        best=best_with_baseline(search, baseline),
        baseline=expected_baseline(search, baseline),
        goal=_goal(search, objective),
        trade_offs=search.trade_offs(),
        expected_costs=search.expected_costs(),
        exploration=search.exploration(),
        history=history,
        ended=ended,
        software=software_versions(),
    )


def why_no_answer(search: Search, log: EventLog) -> str:
    """That no run of the search has reached the target, which came nearest, and what can be done."""
    trials = trials_from_log(log.read())
    goal = SearchGoal(target=search.target)
    if not trials:
        return "no run has ended yet: there is nothing to recommend"
    return " ".join(not_reached_sentences(trials, goal))


def software_versions() -> dict[str, str]:
    """Versions of this process and machine: the system, the GPUs' driver, Python, and the libraries."""
    found = {
        "system": f"{platform.system()} {platform.release()}",
        "GPU driver": _driver(gpu_source()),
        "Python": sys.version.split()[0],
    }
    return found | _library_versions()


@functools.cache
def _library_versions() -> dict[str, str]:
    """Of those that are installed; looking for one reads its files."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def _driver(source: str) -> str:
    try:
        return load_source(source).driver_version()
    except ZeusError:
        return "unknown: no GPU on the machine of the search"


def _goal(search: Search, objective: SearchObjective) -> SearchGoal:
    signal, emissions = objective.signal, objective.emissions
    unit = signal.unit if signal is not None else ""
    ends_s = signal.series.end_s if isinstance(signal, RecordedSignal) else NAN
    return SearchGoal(
        target=search.target,
        eta=search.eta,
        max_power_w=NAN if search.max_power_w is None else search.max_power_w,
        gpus=search.gpus,
        max_slowdown=search.max_slowdown,
        default_batch_size=search.default_batch_size,
        batch_sizes=search.batch_sizes,
        max_epochs=search.max_epochs,
        seed=search.seed,
        objective={"": "energy", GRAMS: "carbon"}.get(unit, "price"),
        signal=emissions.signal if emissions else "",
        unit=unit,
        signal_ends_s=ends_s if math.isfinite(ends_s) and ends_s < time.time() else NAN,
    )
