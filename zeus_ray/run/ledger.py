"""What the earlier attempts of a trial used: kept with the trial, one small file an attempt.

A trial that was killed, paused or moved starts its clock and its joules again; its ledger does not.
Files are replaced whole, which is atomic on local disks and the only way on object stores.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from zeus_ray.records import Measurement


class Folder(Protocol):
    """Where a trial's small files live: a local folder, or cloud storage."""

    def names(self) -> list[str]:
        """File names, [] where the folder is not there."""

    def read(self, name: str) -> str:
        """Text of one file."""

    def write(self, name: str, text: str) -> None:
        """Replace one file, whole."""


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine."""

    path: Path

    def names(self) -> list[str]:
        """File names, [] where the folder is not there."""
        return sorted(p.name for p in self.path.iterdir()) if self.path.is_dir() else []

    def read(self, name: str) -> str:
        """Text of one file."""
        return (self.path / name).read_text()

    def write(self, name: str, text: str) -> None:
        """Replace one file, whole."""
        self.path.mkdir(parents=True, exist_ok=True)
        draft = self.path / f".{name}.draft"
        draft.write_text(text)
        draft.replace(self.path / name)


@dataclass
class Ledger:
    """Energy (J) and time (s) of one trial over its attempts. ``folder=None``: this attempt only."""

    folder: Folder | None
    attempt: int
    before: Measurement
    before_g: float = 0.0
    """Grams, or money, of the attempts before this one; NaN where one of them had no price."""

    @classmethod
    def open(cls, folder: Folder | None) -> Self:
        """Add up the attempts so far; this one is the next."""
        names = [n for n in folder.names() if _is_entry(n)] if folder else []
        entries = [json.loads(folder.read(n)) for n in names] if folder else []
        attempt = 1 + max((int(entry["attempt"]) for entry in entries), default=0)
        before_g = math.fsum(entry.get("carbon_g", math.nan) for entry in entries)
        return cls(folder, attempt, _total(entries), before_g)

    def total(self, now: Measurement) -> Measurement:
        """All attempts, this one at ``now``."""
        return Measurement(
            energy_j=self.before.energy_j + now.energy_j, time_s=self.before.time_s + now.time_s
        )

    def write(self, now: Measurement, carbon_g: float = math.nan) -> None:
        """Replace this attempt's entry."""
        if self.folder is None:
            return
        entry = {
            "attempt": self.attempt,
            "energy_j": now.energy_j,
            "time_s": now.time_s,
            "carbon_g": carbon_g,
        }
        self.folder.write(f"zeus-attempt-{self.attempt}.json", json.dumps(entry))


def _is_entry(name: str) -> bool:
    return name.startswith("zeus-attempt-") and name.endswith(".json")


def _total(entries: list[dict[str, Any]]) -> Measurement:
    """NaN stays NaN: an attempt that was not measured makes the sum unknown."""
    return Measurement(
        energy_j=math.fsum(entry["energy_j"] for entry in entries),
        time_s=math.fsum(entry["time_s"] for entry in entries),
    )
