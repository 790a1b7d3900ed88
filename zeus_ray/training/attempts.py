"""What the earlier attempts of a trial used and learned: kept with it, one small file an attempt.

A trial that was killed, paused or moved starts its clock and its joules again; its ledger does not.
What an attempt used after its last report is known to whoever kept its boards: the next attempt asks.
Files are replaced whole, which is atomic on local disks and the only way on object stores.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

from zeus_ray.records import Measurement, PowerProfile, from_json
from zeus_ray.store.storage import Storage

Held = Sequence[Sequence[str]]
"""(actor, lease id) of each board of an attempt."""
Ask = Callable[[Held], Measurement | None]
"""What leases had used when they ended; None where nobody knows any more."""


@dataclass(frozen=True, kw_only=True)
class AttemptUsage(Measurement):
    """What an attempt used to its end, and what that cost when it was used."""

    carbon_g: float = math.nan


@dataclass
class AttemptLog:
    """One trial over its attempts. ``folder=None``: this attempt only.

    Attributes:
        attempt: the number of this one, from 1.
        before: energy (J) and time (s) of the earlier ones.
        samples: trained by the last one and those it went on from.
        gpu: the kind of GPU of the last one ("": there was none).
        profiles: power profiles that earlier attempts measured, for their kinds of GPU.
        held: the leases of this attempt, for the next one to ask about.
        before_g: grams, or money, of the earlier ones; NaN where one of them had no price.
    """

    folder: Storage | None
    attempt: int
    before: Measurement
    samples: int = 0
    gpu: str = ""
    profiles: tuple[PowerProfile, ...] = ()
    held: Held = field(default_factory=tuple)
    before_g: float = 0.0

    @classmethod
    def open(cls, folder: Storage | None, *, ask: Ask = lambda _held: None) -> Self:
        """Add up the attempts so far, asking what they used to their end; this one is the next."""
        names = [n for n in folder.names() if _is_entry(n)] if folder else []
        entries = [_to_its_end(folder, n, ask) for n in names] if folder else []
        if not entries:
            return cls(folder, 1, Measurement(energy_j=0.0, time_s=0.0))
        last = max(entries, key=lambda entry: int(entry["attempt"]))
        return cls(
            folder,
            1 + int(last["attempt"]),
            _total(entries),
            samples=last["samples"],
            gpu=last["gpu"],
            profiles=tuple(from_json(PowerProfile, e["profile"]) for e in entries if e["profile"]),
            before_g=math.fsum(entry["carbon_g"] for entry in entries),
        )

    def total(self, now: Measurement) -> Measurement:
        """All attempts, this one at ``now``."""
        return Measurement(
            energy_j=self.before.energy_j + now.energy_j, time_s=self.before.time_s + now.time_s
        )

    def write(
        self, now: Measurement, *, samples: int, gpu: str, profile: str, carbon_g: float = math.nan
    ) -> None:
        """Replace this attempt's entry. ``profile``: as JSON, "" while there is none."""
        if self.folder is None:
            return
        entry = {
            "attempt": self.attempt,
            "energy_j": now.energy_j,
            "time_s": now.time_s,
            "samples": samples,
            "gpu": gpu,
            "profile": profile,
            "carbon_g": carbon_g,
            "held": self.held,
        }
        self.folder.write(f"zeus-attempt-{self.attempt}.json", json.dumps(entry))


def _is_entry(name: str) -> bool:
    return name.startswith("zeus-attempt-") and name.endswith(".json")


def _to_its_end(folder: Storage, name: str, ask: Ask) -> dict[str, Any]:
    """One attempt's entry, brought up to the end of its leases where somebody still knows."""
    entry: dict[str, Any] = json.loads(folder.read(name))
    ended = ask(entry["held"]) if entry.get("held") else None
    if ended is None or not (ended.energy_j >= entry["energy_j"] and ended.time_s >= entry["time_s"]):
        return entry
    carbon_g = ended.carbon_g if isinstance(ended, AttemptUsage) else math.nan
    entry |= {"energy_j": ended.energy_j, "time_s": ended.time_s, "carbon_g": carbon_g, "held": []}
    folder.write(name, json.dumps(entry))
    return entry


def _total(entries: list[dict[str, Any]]) -> Measurement:
    """NaN stays NaN: an attempt that was not measured makes the sum unknown."""
    return Measurement(
        energy_j=math.fsum(entry["energy_j"] for entry in entries),
        time_s=math.fsum(entry["time_s"] for entry in entries),
    )
