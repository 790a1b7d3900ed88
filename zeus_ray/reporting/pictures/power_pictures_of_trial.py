"""Power over time of a trial, from the trace that each of its attempts has stored."""

from __future__ import annotations

import re

from zeus_ray.errors import BadInput
from zeus_ray.records import from_json
from zeus_ray.records.stored_power_trace import StoredPowerTrace
from zeus_ray.reporting.pictures.picture import Picture
from zeus_ray.reporting.pictures.power_over_time_picture import power_picture
from zeus_ray.store.storage import Storage

POWER_FILES = re.compile(r"zeus-power-(\d+)\.json")


def power_pictures_of_trial(folder: Storage, of: str) -> list[Picture]:
    """One picture per GPU of the last attempt that has stored its power; none where no attempt has.

    Args:
        folder: of the trial.
        of: names the trial in the title, such as "batch size 64".

    Raises:
        BadInput: the file cannot be read.
    """
    found = [match for match in map(POWER_FILES.fullmatch, folder.names()) if match]
    if not found:
        return []
    last = max(found, key=lambda match: int(match[1]))
    try:
        trace = from_json(StoredPowerTrace, folder.read(last[0]))
    except OSError as error:
        raise BadInput(f"{last[0]} cannot be read: {error}") from error
    attempt = f", attempt {last[1]}" if last[1] != "1" else ""
    return [
        power_picture(
            points,
            key=f"power-{number}",
            gpu=trace.gpu,
            measured_by=trace.measured_by,
            epoch_ends_s=trace.epoch_ends_s,
            title=f"Power over time: {of}{attempt}"
            + (f", GPU {number} of {trace.gpus}" if trace.gpus > 1 else ""),
        )
        for number, points in enumerate(trace.traces.values(), 1)
        if points
    ]
