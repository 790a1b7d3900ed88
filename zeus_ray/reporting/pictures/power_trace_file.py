"""Pictures of a stored power trace, as ``run.write_power_trace`` writes it."""

from __future__ import annotations

import os

from zeus_ray.errors import BadInput
from zeus_ray.reporting.pictures.picture import Picture
from zeus_ray.reporting.pictures.power_picture import PowerTraceTuple, power_picture
from zeus_ray.reporting.savings import Savings

COLUMNS = ("gpu", "time_s", "power_w", "power_limit_w")


def power_trace_pictures(path: str | os.PathLike[str], saved: Savings) -> list[Picture]:
    """One picture per GPU of the trace.

    Args:
        path: of the Parquet file.
        saved: the search that the trace belongs to, for the kind of GPU.

    Raises:
        BadInput: the file cannot be read, has other columns, or is empty.
    """
    from pyarrow import parquet  # noqa: PLC0415 — comes with ray[tune]; half a second that only this needs

    try:
        rows = parquet.read_table(os.fspath(path), columns=list(COLUMNS)).to_pylist()
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise BadInput(f"{path} is no power trace of run.write_power_trace: {error}") from error
    traces: dict[str, list[PowerTraceTuple]] = {}
    for row in rows:
        traces.setdefault(row["gpu"], []).append((row["time_s"], row["power_w"], row["power_limit_w"]))
    if not traces:
        raise BadInput(f"the power trace {path} is empty: there is nothing to plot (was a GPU measured?)")
    kinds, measured_by = " and ".join(saved.gpus), next(iter(saved.measured_by), "")
    return [
        power_picture(
            points,
            key=f"power-{number}",
            gpu=kinds,
            measured_by=measured_by,
            title="Power over time" + (f", GPU {number}" if len(traces) > 1 else ""),
        )
        for number, points in enumerate(traces.values(), 1)
    ]
