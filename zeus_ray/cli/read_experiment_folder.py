"""A finished experiment of Ray Tune, read from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zeus_ray.errors import BadInput, ZeusError

if TYPE_CHECKING:
    from ray.tune import ExperimentAnalysis

    from zeus_ray.reporting.pictures.picture import Picture
    from zeus_ray.reporting.show import SearchReport


def experiment_folder(location: str) -> Path | None:
    """The folder of an experiment of Ray Tune at this place: it, or the newest in it; None without any."""
    folder = Path(location).expanduser()
    if not folder.is_dir():
        return None
    states = list(folder.glob("experiment_state-*.json")) or list(folder.glob("*/experiment_state-*.json"))
    return max(states, key=lambda path: path.stat().st_mtime).parent if states else None


def read_experiment(folder: Path) -> ExperimentAnalysis:
    """The result of an experiment. Raises BadInput where Ray Tune cannot read the folder."""
    from ray.tune import ExperimentAnalysis

    try:
        return ExperimentAnalysis(str(folder.resolve()))
    except (ValueError, OSError, KeyError) as error:
        raise BadInput(f"Ray Tune cannot read {folder}: {error}") from error


def experiment_report(result: ExperimentAnalysis) -> SearchReport:
    """The report of a result, by the answer that it stores. Raises BadInput where it has no trial."""
    from zeus_ray.reporting.show import SearchReport
    from zeus_ray.reporting.stored_answer import stored_answer
    from zeus_ray.reporting.trials_from_result import summaries

    trials = tuple(summaries(result))
    if not trials:
        raise BadInput(f"the experiment at {result.experiment_path} has no trial")
    found = stored_answer(result)
    return SearchReport(
        trials, best=found.best if found else None, found=found, folder=str(result.experiment_path)
    )


def power_pictures(result: ExperimentAnalysis, report: SearchReport) -> tuple[list[Picture], list[str]]:
    """Power over time of the answer's trial, or of the cheapest that has stored it; or why there is none."""
    from zeus_ray.reporting.pictures.power_pictures_of_trial import power_pictures_of_trial
    from zeus_ray.store.storage import StorageFolder

    storages = {trial.trial_id: trial.storage for trial in result.trials}
    first = report.winner()
    try:
        for trial in sorted(report.trials, key=lambda one: (one is not first, one.rank)):
            storage = storages[trial.trial_id]
            folder = StorageFolder(storage.storage_filesystem, storage.trial_fs_path)
            drawn = power_pictures_of_trial(folder, f"batch size {trial.batch_size}")
            if drawn:
                return drawn, []
    except BadInput as error:
        return [], [f"Not drawn: power over time, as {error}."]
    return [], ["Not drawn: power over time, as no trial has stored it."]


def sweep_pictures(result: ExperimentAnalysis, report: SearchReport) -> tuple[list[Picture], list[str]]:
    """The sweep on the curve of the search's signal, or why it is not drawn; nothing without a signal."""
    from zeus_ray.tune.sweep_width_from_result import sweep_of_result

    goal = report.savings.goal
    if goal is None or not goal.signal:
        return [], []
    try:
        return [sweep_of_result(result, report.savings, goal)], []
    except ZeusError as error:
        return [], [f"Not drawn: the trials on the curve of the grid, as {error}."]
