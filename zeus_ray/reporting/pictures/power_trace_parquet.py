"""Power traces in a Parquet file: written by a run, and drawn in a report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zeus_ray.errors import BadInput
from zeus_ray.records import from_json, to_json
from zeus_ray.reporting.pictures.picture import Picture
from zeus_ray.reporting.pictures.power_over_time_picture import PowerTraceTuple, power_picture

COLUMNS = ("gpu", "time_s", "power_w", "power_limit_w")
METADATA = b"zeus_ray"


@dataclass(frozen=True, kw_only=True)
class PowerTraceInfo:
    """What the rows of a trace do not say; kept in the metadata of the file.

    Attributes:
        gpu: kind of the GPUs.
        measured_by: a value of :class:`zeus_ray.records.MeasuredBy`.
        epoch_ends_s: when epochs ended (s).
    """

    gpu: str = ""
    measured_by: str = ""
    epoch_ends_s: tuple[float, ...] = ()


def write_power_traces(
    path: str | os.PathLike[str], traces: Mapping[str, Sequence[PowerTraceTuple]], info: PowerTraceInfo
) -> None:
    """Write power traces, by UUID, as Parquet columns gpu, time_s, power_w, power_limit_w. Raises OSError."""
    import pyarrow as pa  # noqa: PLC0415 — comes with ray[tune]; half a second that only this needs
    from pyarrow import parquet  # noqa: PLC0415 — likewise

    rows = [(uuid, *point) for uuid, points in traces.items() for point in points]
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    kinds = (pa.string(), pa.float64(), pa.float64(), pa.float64())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    table = pa.table(dict(zip(COLUMNS, arrays, strict=True)))
    parquet.write_table(table.replace_schema_metadata({METADATA: to_json(info)}), os.fspath(path))


def power_trace_pictures(path: str | os.PathLike[str]) -> list[Picture]:
    """One picture per GPU of a file.

    Raises:
        BadInput: the file cannot be read, has other columns, or is empty.
    """
    from pyarrow import parquet  # noqa: PLC0415 — comes with ray[tune]; half a second that only this needs

    try:
        table = parquet.read_table(os.fspath(path), columns=list(COLUMNS))
        stored = (table.schema.metadata or {}).get(METADATA)
        info = from_json(PowerTraceInfo, stored.decode()) if stored else PowerTraceInfo()
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise BadInput(f"{path} is no power trace of run.write_power_trace: {error}") from error
    traces: dict[str, list[PowerTraceTuple]] = {}
    for row in table.to_pylist():
        traces.setdefault(row["gpu"], []).append((row["time_s"], row["power_w"], row["power_limit_w"]))
    if not traces:
        raise BadInput(f"the power trace {path} is empty: there is nothing to plot (was a GPU measured?)")
    return [
        power_picture(
            points,
            key=f"power-{number}",
            gpu=info.gpu,
            measured_by=info.measured_by,
            epoch_ends_s=info.epoch_ends_s,
            title="Power over time" + (f", GPU {number}" if len(traces) > 1 else ""),
        )
        for number, points in enumerate(traces.values(), 1)
    ]
