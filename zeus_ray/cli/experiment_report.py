"""A finished experiment of Ray Tune, read from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zeus_ray.errors import BadInput

if TYPE_CHECKING:
    from zeus_ray.reporting.search_report import SearchReport


def experiment_folder(location: str) -> Path | None:
    """The folder of an experiment of Ray Tune at this place: it, or the newest in it; None without any."""
    folder = Path(location).expanduser()
    if not folder.is_dir():
        return None
    states = list(folder.glob("experiment_state-*.json")) or list(folder.glob("*/experiment_state-*.json"))
    return max(states, key=lambda path: path.stat().st_mtime).parent if states else None


def read_experiment(folder: Path) -> SearchReport:
    """The report of an experiment.

    Raises:
        BadInput: Ray Tune cannot read the folder, or no trial of it has reported.
    """
    from ray.tune import ExperimentAnalysis

    from zeus_ray.reporting.search_report import SearchReport
    from zeus_ray.reporting.stored_answer import stored_answer
    from zeus_ray.reporting.trial_summary import summaries

    try:
        result = ExperimentAnalysis(str(folder.resolve()))
        trials = tuple(summaries(result))
    except (ValueError, OSError, KeyError) as error:
        raise BadInput(f"Ray Tune cannot read {folder}: {error}") from error
    if not trials:
        raise BadInput(f"the experiment at {folder} has no trial")
    found = stored_answer(result)
    return SearchReport(trials, best=found.best if found else None, found=found)
