"""The leases on one board, and whose joules are whose."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from zeus_ray.errors import LeaseRefused
from zeus_ray.gpus.energy.readings import EnergyReading, Reading
from zeus_ray.leases.journal import LeaseEntry
from zeus_ray.leases.limit_owner import same
from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import NAN, EmissionsConfig, from_json

Price = Callable[[str, float, float, float], float]
"""(footprint, energy_j, from_s, to_s) → grams or money, times as ``time.time()`` says; NaN: nobody knows."""

REMEMBERED = 256
"""Ended leases whose last reading can still be asked for: a release may be repeated."""


class LeaseTable:
    """Who holds the board. While several do, each is charged an equal share of what it draws.

    So the shares never add up to more than the board used; they are nobody's own energy, and every
    lease that ever shared stays marked ``shared``.

    Args:
        entries: leases of a process before this one.
        price: what energy cost when it was used.
        wall: the clock of ``price``.
    """

    def __init__(
        self,
        entries: Iterable[LeaseEntry] = (),
        *,
        price: Price = lambda *_: NAN,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._price = price
        self._wall = wall
        self._entries = {entry.lease_id: entry for entry in entries}
        self._alone: set[str] = set()
        self.ended: OrderedDict[str, Reading] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[LeaseEntry]:
        return iter(tuple(self._entries.values()))

    def __contains__(self, lease_id: str) -> bool:
        return lease_id in self._entries

    def __getitem__(self, lease_id: str) -> LeaseEntry:
        if lease_id not in self._entries:
            raise LeaseRefused(f"no lease {lease_id!r} here; held: {', '.join(self._entries) or 'none'}")
        return self._entries[lease_id]

    @property
    def limits_w(self) -> list[float]:
        """The limits that leases have set."""
        return [entry.limit_w for entry in self if entry.limit_w is not None]

    def check_alone(self, exclusive: bool) -> None:
        """Refuse to join where one of the two wants the board alone."""
        if self._entries and (exclusive or self._alone):
            holders = ", ".join(entry.holder.trial_id for entry in self)
            raise LeaseRefused(f"this board is held by {holders}, and one of the two wants it alone")

    def check_joins(self, lease_id: str, limit_w: float, in_force_w: float) -> None:
        """Refuse a limit that another lease has set differently."""
        for other in self:
            if other.lease_id == lease_id or other.limit_w is None or same(other.limit_w, limit_w):
                continue
            raise LeaseRefused(
                f"{limit_w:g} W wanted, but trial {other.holder.trial_id} holds this board at "
                f"{other.limit_w:g} W (in force: {in_force_w:g} W)"
            )

    @property
    def priced(self) -> bool:
        """Whether any lease's energy has a price, which depends on when it is used."""
        return any(entry.footprint for entry in self)

    def enter(
        self,
        holder: HolderProcess,
        control: str,
        edge: EnergyReading,
        *,
        exclusive: bool,
        footprint: str = "",
    ) -> LeaseEntry:
        """Begin a lease: two on one board are shared from now on, both of them."""
        self.settle(edge)
        self._entries = {id_: dataclasses.replace(e, shared=True) for id_, e in self._entries.items()}
        entry = LeaseEntry(
            lease_id=f"{holder.trial_id}-{uuid.uuid4().hex[:8]}",
            holder=holder,
            control=control,
            limit_w=None,
            origin_s=edge.at_s,
            spent_j=0.0,
            err_j=edge.err_j,
            mark=edge,
            shared=bool(self._entries),
            footprint=footprint,
            marked_s=self._wall(),
        )
        self._entries[entry.lease_id] = entry
        if exclusive:
            self._alone.add(entry.lease_id)
        return entry

    def leave(self, lease_id: str, edge: EnergyReading | None, reading: Reading) -> None:
        """End a lease, and remember its last reading. ``edge`` is None where the board no longer answers."""
        if edge is not None:
            self.settle(edge)
        del self._entries[lease_id]
        self._alone.discard(lease_id)
        self.ended[lease_id] = reading
        while len(self.ended) > REMEMBERED:
            self.ended.popitem(last=False)

    def want(self, lease_id: str, limit_w: float | None) -> None:
        """Note the limit a lease sets."""
        self._entries[lease_id] = dataclasses.replace(self[lease_id], limit_w=limit_w)

    def follow(self, lease_id: str, profile: str) -> None:
        """Note by which profile a lease's limit follows the grid: the journal keeps it."""
        self._entries[lease_id] = dataclasses.replace(self[lease_id], profile=profile)

    def settle(self, edge: EnergyReading) -> None:
        """Charge everyone up to now."""
        now_s = self._wall()
        self._entries = {
            id_: dataclasses.replace(
                entry,
                spent_j=self.energy_j(entry, edge),
                spent_g=self._spent_g(entry, edge, now_s),
                mark=edge,
                marked_s=now_s,
            )
            for id_, entry in self._entries.items()
        }

    def energy_j(self, entry: LeaseEntry, edge: EnergyReading) -> float:
        """What a lease has been charged by now."""
        return entry.spent_j + (edge.energy_j - entry.mark.energy_j) / len(self._entries)

    def reading(self, lease_id: str, edge: EnergyReading, limit_w: float) -> Reading:
        """A lease's energy and time at ``edge``, and the limit in force."""
        entry = self[lease_id]
        return Reading(
            energy_j=self.energy_j(entry, edge),
            time_s=edge.at_s - entry.origin_s,
            power_limit_w=limit_w,
            shared=entry.shared,
            energy_j_err=entry.err_j + edge.err_j,
            **self._cost(entry, edge),
        )

    def _cost(self, entry: LeaseEntry, edge: EnergyReading) -> dict[str, float]:
        """Emissions or price by now, under the name of the field of :class:`Reading`."""
        if not entry.footprint:
            return {}
        is_price = from_json(EmissionsConfig, entry.footprint).is_price
        return {"price" if is_price else "carbon_g": self._spent_g(entry, edge, self._wall())}

    def _spent_g(self, entry: LeaseEntry, edge: EnergyReading, now_s: float) -> float:
        """What a lease's energy has cost by now: what was drawn since the mark, drawn evenly since."""
        if not entry.footprint:
            return 0.0
        since_j = self.energy_j(entry, edge) - entry.spent_j
        return entry.spent_g + self._price(entry.footprint, since_j, entry.marked_s, now_s)
