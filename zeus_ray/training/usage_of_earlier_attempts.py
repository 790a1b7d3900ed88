"""What the earlier attempts of a trial used and measured: kept in the trial's storage, one file per attempt.

After a trial was killed, paused or moved, its next attempt starts at zero energy and time, and adds what
these files say. What an attempt used after its last report is known to the actors of its GPUs: the next
attempt asks them. A file is replaced as a whole, which is atomic on local disks and the only way on object
stores.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from typing_extensions import Self

from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.records import NAN, Measurement, PowerProfile, from_json, to_json
from zeus_ray.store.storage import Storage
from zeus_ray.training.online_limit.controller_settings_and_state import UnitPoint

logger = logging.getLogger("zeus_ray")

Held = Sequence[tuple[str, str]]
"""(actor, lease id) of each GPU of an attempt."""

ATTEMPT_FILE = "zeus-attempt-{number}.json"
ATTEMPT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class AttemptUsage(Measurement):
    """What attempts used: energy (J), time (s), emissions (g), price (in the currency of the signal).

    ``cpu_energy_j`` is of the machines' CPUs, ``dram_energy_j`` of their memory (J), of an attempt that was
    killed to its last report.
    """

    carbon_g: float = NAN
    price: float = NAN
    cpu_energy_j: float = NAN
    dram_energy_j: float = NAN

    @classmethod
    def of(cls, reading: Reading) -> Self:
        """What the attempt that began with the lease had used at ``reading``."""
        return cls(
            energy_j=reading.energy_j,
            time_s=reading.time_s,
            carbon_g=reading.carbon_g,
            price=reading.price,
            cpu_energy_j=reading.cpu_energy_j,
            dram_energy_j=reading.dram_energy_j,
        )

    def plus(self, other: AttemptUsage) -> AttemptUsage:
        """Both together. NaN stays NaN: with an attempt that was not measured the sum is unknown."""
        return AttemptUsage(
            energy_j=self.energy_j + other.energy_j,
            time_s=self.time_s + other.time_s,
            carbon_g=self.carbon_g + other.carbon_g,
            price=self.price + other.price,
            cpu_energy_j=self.cpu_energy_j + other.cpu_energy_j,
            dram_energy_j=self.dram_energy_j + other.dram_energy_j,
        )


NOTHING_USED = AttemptUsage(
    energy_j=0.0, time_s=0.0, carbon_g=0.0, price=0.0, cpu_energy_j=0.0, dram_energy_j=0.0
)
FinalUsage = Callable[[Held], AttemptUsage | None]
"""What leases had used when they ended; None where that is not known any more."""


@dataclass(frozen=True, kw_only=True)
class AttemptEntry(AttemptUsage):
    """One attempt as it is stored: what it used to its last report, or to its end.

    Attributes:
        attempt: its number, from 1.
        samples: trained by it, and by those it continued from.
        gpu: its kind of GPU; "" without one.
        profile: what it measured of the power profile; None: nothing.
        unit_profile: what it measured of the profile per unit of work.
        held: its leases; empty once they are counted to their end.
        version: of this format.
    """

    attempt: int
    samples: int = 0
    gpu: str = ""
    profile: PowerProfile | None = None
    unit_profile: tuple[UnitPoint, ...] = ()
    held: tuple[tuple[str, str], ...] = ()
    version: int = ATTEMPT_VERSION


@dataclass(frozen=True, kw_only=True)
class AttemptLog:
    """The attempts of one trial; without arguments its first one, which stores nothing.

    Attributes:
        folder: the trial's storage; None: nothing is stored.
        attempt: the number of this attempt, from 1.
        before: what the earlier ones used.
        samples: trained by the last one, and by those it continued from.
        gpu: the kind of GPU of the last one; "" if there was none.
        profiles: what the earlier ones measured, for their kinds of GPU.
        unit_profile: what the last one measured, per unit of work.
    """

    folder: Storage | None = None
    attempt: int = 1
    before: AttemptUsage = NOTHING_USED
    samples: int = 0
    gpu: str = ""
    profiles: tuple[PowerProfile, ...] = ()
    unit_profile: tuple[UnitPoint, ...] = ()

    @classmethod
    def open(cls, folder: Storage | None, *, final_usage: FinalUsage = lambda _held: None) -> Self:
        """The log of the next attempt; ``final_usage`` completes the entries of those that were killed."""
        names = [name for name in folder.names() if _is_entry(name)] if folder else []
        found = [_to_its_end(folder, name, final_usage) for name in names] if folder else []
        entries = [entry for entry in found if entry is not None]
        if not entries:  # a number that no file has: what cannot be read is not overwritten
            return cls(folder=folder, attempt=1 + len(names))
        last = max(entries, key=lambda entry: entry.attempt)
        return cls(
            folder=folder,
            attempt=max(1 + last.attempt, 1 + len(names)),
            before=functools.reduce(AttemptUsage.plus, entries, NOTHING_USED),
            samples=last.samples,
            gpu=last.gpu,
            profiles=tuple(entry.profile for entry in entries if entry.profile is not None),
            unit_profile=last.unit_profile,
        )

    def write(
        self,
        usage: AttemptUsage,
        *,
        samples: int,
        gpu: str,
        profile: PowerProfile | None,
        unit_profile: Sequence[UnitPoint] = (),
        held: Held = (),
    ) -> None:
        """Replace this attempt's entry; see :class:`AttemptEntry`."""
        if self.folder is None:
            return
        entry = AttemptEntry(
            energy_j=usage.energy_j,
            time_s=usage.time_s,
            carbon_g=usage.carbon_g,
            price=usage.price,
            cpu_energy_j=usage.cpu_energy_j,
            dram_energy_j=usage.dram_energy_j,
            attempt=self.attempt,
            samples=samples,
            gpu=gpu,
            profile=profile,
            unit_profile=tuple(unit_profile),
            held=tuple(held),
        )
        _store(self.folder, ATTEMPT_FILE.format(number=self.attempt), entry)


def _is_entry(name: str) -> bool:
    head, tail = ATTEMPT_FILE.split("{number}")
    return name.startswith(head) and name.endswith(tail)


def _to_its_end(folder: Storage, name: str, final_usage: FinalUsage) -> AttemptEntry | None:
    """One attempt's entry, with what its leases used to their end where that is still known.

    None, and a warning, for a file that cannot be read: the trial goes on with what the others say.
    """
    try:
        entry = from_json(AttemptEntry, folder.read(name))
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        logger.warning("zeus-ray: %s is left out, so an attempt's energy is not known: %s", name, reason)
        return None
    final = final_usage(entry.held) if entry.held else None
    if final is None or not (final.energy_j >= entry.energy_j and final.time_s >= entry.time_s):
        return entry
    entry = replace(
        entry,
        energy_j=final.energy_j,
        time_s=final.time_s,
        carbon_g=final.carbon_g,
        price=final.price,
        held=(),
    )
    _store(folder, name, entry)
    return entry


def _store(folder: Storage, name: str, entry: AttemptEntry) -> None:
    """A storage that refuses ends no training: a later attempt does not know what this one used since."""
    try:
        folder.write(name, to_json(entry))
    except OSError as error:
        logger.warning("zeus-ray: what this attempt has used is not stored in %s: %s", name, error)
