"""A run's power over time as a Parquet file, for whoever wants to look at it with other tools."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

Points = Sequence[tuple[float, float, float]]
"""(time_s since the lease began, power_w, power_limit_w in force); some thousands: see ``Timeline``."""


def write_parquet(path: str | os.PathLike[str], boards: Mapping[str, Points]) -> None:
    """Write all ``boards`` (by UUID) as columns gpu, time_s, power_w, power_limit_w. Raises OSError."""
    import pyarrow as pa  # noqa: PLC0415 — comes with ray[tune]; half a second that only this needs
    from pyarrow import parquet  # noqa: PLC0415 — likewise

    rows = [(uuid, *point) for uuid, points in boards.items() for point in points]
    gpus, times_s, powers_w, limits_w = zip(*rows, strict=True) if rows else ((), (), (), ())
    table = pa.table(
        {
            "gpu": pa.array(gpus, pa.string()),
            "time_s": pa.array(times_s, pa.float64()),
            "power_w": pa.array(powers_w, pa.float64()),
            "power_limit_w": pa.array(limits_w, pa.float64()),
        }
    )
    parquet.write_table(table, os.fspath(path))
