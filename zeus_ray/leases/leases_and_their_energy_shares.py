"""The leases of one GPU, and how its energy is divided among them."""

from __future__ import annotations

import dataclasses
import functools
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from zeus_ray.errors import LeaseRefused
from zeus_ray.gpus.energy.readings import EnergyReading, Reading
from zeus_ray.leases.journal_record import LeaseEntry
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.write_limit_and_read_back import same_limit
from zeus_ray.records import GRAMS, NAN, EmissionsConfig, MeasuredBy, from_json

EnergyPrice = Callable[[str, float, float, float], float]
"""(emissions, energy_j, from_s, to_s) → grams or money, by the unit of ``emissions`` (JSON of an
:class:`EmissionsConfig`); times as in ``time.time()``; NaN where unknown."""

ENDED_LEASES_KEPT = 256
"""Ended leases whose last reading can still be read: a caller may repeat a release."""


class LeaseTable:
    """The leases of one GPU. While it has several, each is charged an equal share of the GPU's energy.

    So the shares never add up to more than the GPU drew. A lease that ever shared the GPU stays marked
    ``shared``: its energy is not its own alone.

    Args:
        price: emissions or price of energy at the time it was drawn, see :data:`EnergyPrice`.
        wall: the clock of ``price``.
    """

    def __init__(self, *, price: EnergyPrice = lambda *_: NAN, wall: Callable[[], float] = time.time) -> None:
        self._price = price
        self._wall = wall
        self._entries: dict[str, LeaseEntry] = {}
        self._exclusive: set[str] = set()
        self.last_readings: OrderedDict[str, Reading] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[LeaseEntry]:
        return iter(tuple(self._entries.values()))

    def __contains__(self, lease_id: str) -> bool:
        return lease_id in self._entries

    def __getitem__(self, lease_id: str) -> LeaseEntry:
        if lease_id not in self._entries:
            raise LeaseRefused(f"no lease {lease_id!r} here: it has ended, or is one of another GPU")
        return self._entries[lease_id]

    @property
    def limits_w(self) -> list[float]:
        """The limits that leases have set."""
        return [entry.limit_w for entry in self if entry.limit_w is not None]

    @property
    def priced(self) -> bool:
        """Whether the energy of any lease has a price, which depends on when it is drawn."""
        return any(entry.emissions for entry in self)

    def with_control(self, control: str) -> tuple[LeaseEntry, ...]:
        """The leases with this power control: ``auto`` may set limits, ``off`` may not."""
        return tuple(entry for entry in self if entry.control == control)

    def check_exclusive(self, exclusive: bool) -> None:
        """Raise LeaseRefused where the new lease or one of those here is exclusive."""
        if self._entries and (exclusive or self._exclusive):
            trials = ", ".join(entry.holder.trial_id for entry in self)
            raise LeaseRefused(f"this GPU is leased by {trials}, and one of the leases must be exclusive")

    def check_limit(self, lease_id: str, limit_w: float, enforced_w: float) -> None:
        """Raise LeaseRefused for a limit that differs from the one another lease has set."""
        for other in self:
            if other.lease_id == lease_id or other.limit_w is None or same_limit(other.limit_w, limit_w):
                continue
            raise LeaseRefused(
                f"{limit_w:g} W wanted, but trial {other.holder.trial_id} holds this GPU at "
                f"{other.limit_w:g} W (in force: {enforced_w:g} W)"
            )

    def adopt(self, entries: Iterable[LeaseEntry]) -> None:
        """Add the leases that an earlier process has left in the journal."""
        self._entries.update({entry.lease_id: entry for entry in entries})

    def begin(
        self,
        holder: HolderProcess,
        control: str,
        now: EnergyReading,
        *,
        exclusive: bool,
        emissions: str = "",
    ) -> LeaseEntry:
        """Add a new lease. With others in the table, all of them are shared from now on."""
        self.charge(now)
        self._entries = {id_: dataclasses.replace(e, shared=True) for id_, e in self._entries.items()}
        entry = LeaseEntry(
            lease_id=secrets.token_hex(16),  # whoever knows it may release it: it cannot be guessed
            holder=holder,
            control=control,
            limit_w=None,
            start_s=now.at_s,
            start_err_j=now.err_j,
            start_drift_j=now.drift_j,
            energy_j=0.0,
            charged_to=now,
            shared=bool(self._entries),
            emissions=emissions,
            charged_to_s=self._wall(),
        )
        self._entries[entry.lease_id] = entry
        if exclusive:
            self._exclusive.add(entry.lease_id)
        return entry

    def mark_shared(self) -> None:
        """Another process measures this GPU, too."""
        self._entries = {id_: dataclasses.replace(e, shared=True) for id_, e in self._entries.items()}

    def end(self, lease_id: str, now: EnergyReading | None, last: Reading) -> None:
        """Remove a lease, and keep its last reading. ``now`` is None where the GPU does not answer."""
        if now is not None:
            self.charge(now)
        del self._entries[lease_id]
        self._exclusive.discard(lease_id)
        self.last_readings[lease_id] = last
        while len(self.last_readings) > ENDED_LEASES_KEPT:
            self.last_readings.popitem(last=False)

    def note_limit(self, lease_id: str, limit_w: float | None) -> None:
        """Store the limit that a lease sets; None: it sets none."""
        self._entries[lease_id] = dataclasses.replace(self[lease_id], limit_w=limit_w)

    def note_profile(self, lease_id: str, profile: str) -> None:
        """Store the profile (JSON) by which the lease's limit follows the grid."""
        self._entries[lease_id] = dataclasses.replace(self[lease_id], profile=profile)

    def charge(self, now: EnergyReading) -> None:
        """Charge every lease its share of the energy up to now."""
        now_s = self._wall()
        self._entries = {
            id_: dataclasses.replace(
                entry,
                energy_j=self.energy_j(entry, now),
                amount=self._amount(entry, now, now_s),
                charged_to=now,
                charged_to_s=now_s,
            )
            for id_, entry in self._entries.items()
        }

    def energy_j(self, entry: LeaseEntry, now: EnergyReading) -> float:
        """A lease's energy up to now."""
        return entry.energy_j + (now.energy_j - entry.charged_to.energy_j) / len(self._entries)

    def reading(
        self, lease_id: str, now: EnergyReading, limit_w: float, *, limit_changed_by_others: bool = False
    ) -> Reading:
        """A lease's energy and time up to now, and the limit in force."""
        entry = self[lease_id]
        return Reading(
            energy_j=self.energy_j(entry, now),
            time_s=now.at_s - entry.start_s,
            power_limit_w=limit_w,
            shared=entry.shared,
            energy_j_err=entry.start_err_j + now.err_j + now.drift_j - entry.start_drift_j,
            measured_by=MeasuredBy.POWER_INTEGRAL.value if now.drift_j > entry.start_drift_j else "",
            limit_changed_by_others=limit_changed_by_others,
            **self._amount_by_unit(entry, now),
        )

    def _amount_by_unit(self, entry: LeaseEntry, now: EnergyReading) -> dict[str, float]:
        """Emissions or price up to now, under the name of the field of :class:`Reading`."""
        if not entry.emissions:
            return {}
        return {amount_field(entry.emissions): self._amount(entry, now, self._wall())}

    def _amount(self, entry: LeaseEntry, now: EnergyReading, now_s: float) -> float:
        """Emissions or price up to now; energy since the last charge counts as drawn at constant power."""
        if not entry.emissions:
            return 0.0
        drawn_j = self.energy_j(entry, now) - entry.energy_j
        return entry.amount + self._price(entry.emissions, drawn_j, entry.charged_to_s, now_s)


@functools.lru_cache(maxsize=ENDED_LEASES_KEPT)
def amount_field(emissions: str) -> str:
    """The field of :class:`Reading` for amounts in the unit of ``emissions``."""
    return "carbon_g" if from_json(EmissionsConfig, emissions).unit == GRAMS else "price"
