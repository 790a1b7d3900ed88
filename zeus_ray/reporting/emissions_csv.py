"""``zeus_emissions.csv``: a row for each run, in the columns of CodeCarbon that mean the same here.

Columns and units are those of CodeCarbon's ``emissions.csv`` (github.com/mlco2/codecarbon, EmissionsData):
energy in kWh, power in W, ``duration`` in s, ``emissions`` in kg CO2eq. What is not known is empty.
``energy_consumed`` is the energy of GPUs, CPUs and memory as far as they were measured, as there;
``zeus_simulated`` says that a row was not measured.
"""

from __future__ import annotations

import csv
import math
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import J_PER_KWH
from zeus_ray.records import NAN

G_PER_KG = 1000.0
EMISSIONS_COLUMNS = (
    *("timestamp", "project_name", "run_id", "experiment_id", "duration", "emissions", "emissions_rate"),
    *("cpu_power", "gpu_power", "ram_power", "cpu_energy", "gpu_energy", "ram_energy", "energy_consumed"),
    *("os", "python_version", "gpu_count", "gpu_model", "tracking_mode"),
    *("zeus_batch_size", "zeus_power_limit_w", "zeus_target_reached", "zeus_signal", "zeus_simulated"),
)
"""The first nineteen are CodeCarbon's."""


@dataclass(frozen=True, kw_only=True)
class EmissionsRow:
    """One run. What is not known is NaN, or "".

    Attributes:
        ended_at_s: when it ended (s since 1970).
        project: name of the experiment or job.
        run_id: names the run within the file: a second row of it is not written.
        time_s: how long it took (s).
        energy_j: of its GPUs (J).
        cpu_energy_j: of the CPUs of its machine (J).
        dram_energy_j: of its memory (J).
        carbon_g: emitted by ``energy_j`` (g).
        gpus: number of GPUs; NaN where it is not known.
        gpu: their kind.
        batch_size: NaN for a command.
        power_limit_w: the limit (W per GPU).
        target_reached: "true", "false", or "" without a target.
        signal: the signal of carbon intensity.
        simulated: whether the energy is a simulated GPU's.
    """

    ended_at_s: float
    project: str
    run_id: str
    time_s: float
    energy_j: float
    cpu_energy_j: float = NAN
    dram_energy_j: float = NAN
    carbon_g: float = NAN
    gpus: float = NAN
    gpu: str = ""
    batch_size: float = NAN
    power_limit_w: float = NAN
    target_reached: str = ""
    signal: str = ""
    simulated: bool = False

    def cells(self) -> dict[str, str]:
        """The row, by column."""
        known = [j for j in (self.energy_j, self.cpu_energy_j, self.dram_energy_j) if not math.isnan(j)]
        kilograms = self.carbon_g / G_PER_KG
        numbers = {
            "duration": self.time_s,
            "emissions": kilograms,
            "emissions_rate": _per_second(kilograms, self.time_s),
            "cpu_power": _per_second(self.cpu_energy_j, self.time_s),
            "gpu_power": _per_second(self.energy_j, self.time_s),
            "ram_power": _per_second(self.dram_energy_j, self.time_s),
            "cpu_energy": self.cpu_energy_j / J_PER_KWH,
            "gpu_energy": self.energy_j / J_PER_KWH,
            "ram_energy": self.dram_energy_j / J_PER_KWH,
            "energy_consumed": sum(known) / J_PER_KWH if known else NAN,
            "gpu_count": self.gpus,
            "zeus_batch_size": self.batch_size,
            "zeus_power_limit_w": self.power_limit_w,
        }
        return {
            "timestamp": datetime.fromtimestamp(self.ended_at_s, timezone.utc).isoformat(timespec="seconds"),
            "project_name": self.project,
            "run_id": self.run_id,
            "experiment_id": self.project,
            "os": platform.platform(),
            "python_version": platform.python_version(),
            "gpu_model": self.gpu,
            "tracking_mode": "process",
            "zeus_target_reached": self.target_reached,
            "zeus_signal": self.signal,
            "zeus_simulated": str(self.simulated).lower(),
            **{name: "" if math.isnan(number) else repr(number) for name, number in numbers.items()},
        }


def append_rows(path: Path, rows: Iterable[EmissionsRow]) -> int:
    """Append the rows of runs that the file does not have yet; create it where it is missing.

    Returns:
        How many rows were written.

    Raises:
        BadInput: the file has other columns.
        OSError: it cannot be written.
    """
    known = _run_ids(path)
    new = [row for row in rows if (row.project, row.run_id) not in known]
    with path.open("a+", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, EMISSIONS_COLUMNS)
        if file.tell() == 0:
            writer.writeheader()
        elif not _ends_its_line(path):
            file.write("\r\n")  # an earlier writer was killed
        writer.writerows(row.cells() for row in new)
        file.flush()
        os.fsync(file.fileno())
    return len(new)


def _run_ids(path: Path) -> set[tuple[str, str]]:
    if not path.exists() or path.stat().st_size == 0:
        return set()
    with path.open(newline="", encoding="utf-8") as file:
        rows: csv.DictReader[str] = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != EMISSIONS_COLUMNS:
            raise BadInput(f"{path} has other columns than this version writes: give another file")
        return {_key(row) for row in rows}


def _key(row: Mapping[str, str]) -> tuple[str, str]:
    return row["project_name"] or "", row["run_id"] or ""


def _ends_its_line(path: Path) -> bool:
    return path.read_bytes()[-1:] == b"\n"


def _per_second(amount: float, time_s: float) -> float:
    return amount / time_s if time_s > 0 else NAN
