"""What the leases on a board claim of its limit: checked, set, given back, and written down to outlive us."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from zeus_ray.errors import DeviceError, NoPermission
from zeus_ray.gpus.protocol import Gpu
from zeus_ray.leases.journal import LeaseEntry
from zeus_ray.leases.standby import limit_owners
from zeus_ray.leases.table import LeaseTable

log = logging.getLogger("zeus_ray")


class Claims:
    """One board's limit on behalf of its ``tenants``. The caller holds the LeaseManager's lock.

    Leases that may set a limit are journalled with what is owed; the others only to be remembered.

    Args:
        gpu: the board.
        state_dir: where the journal is kept (default: see :func:`journal.state_dir`).
        control: this node's say, ``auto`` or ``off``.
        guarded: start the guard before the first limit is set.
        tenants: makes the tenants from the leases that a process before this one left.
    """

    def __init__(
        self,
        gpu: Gpu,
        state_dir: Path | None,
        *,
        control: str,
        guarded: bool,
        tenants: Callable[[Iterable[LeaseEntry]], LeaseTable] = LeaseTable,
    ) -> None:
        self._gpu = gpu
        self._why_not = ""
        self._custody, self._notes = limit_owners(gpu, state_dir, guarded=guarded)
        held = self._custody.add_pending() if control == "auto" else ()
        self.tenants = tenants((*held, *self._notes.add_pending()))
        self.noted_s = gpu.now_s()

    @property
    def found_w(self) -> float:
        """The limit that is given back."""
        return self._custody.found_w

    def open(self, control: str) -> None:
        """Before a lease begins: make the board ours, or only the notes where no limit will be set."""
        if control == "auto":
            self._why_not = self._custody.take()
        else:
            self._notes.hold()

    def why_not(self, entry: LeaseEntry) -> str:
        """Why this lease may not set a limit, "" if it may."""
        if entry.control == "off":
            return "power control is off (ZEUS_RAY_POWER_CONTROL): this run measures and sets no limit"
        return self._why_not

    def check(self, entry: LeaseEntry, limit_w: float) -> None:
        """Refuse a limit before anything is touched. Raises NoPermission, BadInput, LeaseRefused."""
        why_not = self.why_not(entry)
        if why_not:
            raise NoPermission(why_not)
        self._gpu.range.check(limit_w)
        self.tenants.check_joins(entry.lease_id, limit_w, self._gpu.enforced_limit_w())

    def set(self, entry: LeaseEntry, limit_w: float) -> None:
        """Set a limit that was checked. Raises DeviceError, after falling back to what was before."""
        self.tenants.want(entry.lease_id, limit_w)
        try:
            self._custody.set(limit_w, self._of("auto"))
        except DeviceError:
            self.tenants.want(entry.lease_id, None)
            self._fall_back()
            raise

    def let_go(self) -> None:
        """After a lease's end: give back what nobody needs any more, and the lock with the last lease."""
        try:
            if not self.tenants.limits_w:
                self._custody.give_back()
        finally:
            self.note()
            self.leave_if_free()

    def leave_if_free(self) -> None:
        """Let another process set this board, where no lease of ours may."""
        if not self._of("auto"):
            self._custody.leave()
        if not self._of("off"):
            self._notes.leave()

    def note(self) -> None:
        """Write down who holds the board now, and what they have used."""
        self.noted_s = self._gpu.now_s()
        try:
            self._custody.note(self._of("auto"))
            self._notes.note(self._of("off"))
        except OSError as error:
            log.warning("zeus-ray: the journal of %s cannot be written: %s", self._gpu.uuid, error)

    def _of(self, control: str) -> tuple[LeaseEntry, ...]:
        return tuple(entry for entry in self.tenants if entry.control == control)

    def _fall_back(self) -> None:
        """A set failed half-way: what others need, or else what was found."""
        try:
            if self.tenants.limits_w:
                self._custody.set(self.tenants.limits_w[0], self._of("auto"))
            else:
                self._custody.give_back()
                self.note()
        except DeviceError:
            log.exception("zeus-ray: %s did not take its limit back; its journal keeps it", self._gpu.uuid)
