"""One board's limit in our hands: what was found, what we set, and giving it back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from zeus_ray.errors import BadInput, DeviceError, DeviceLost, NoPermission, NotSupported
from zeus_ray.gpus.protocol import Gpu, Persistent
from zeus_ray.leases.journal import Journal, JournalRecord, LeaseEntry, OtherVersion
from zeus_ray.leases.process import HolderProcess

WAIT_S = 0.5
"""How long a process that has just died may still hold its locks."""
TRIES = 4
PAUSE_S = 0.02
SAME_W = 0.6
"""Limits closer than this are the same: drivers round to whole watts."""

log = logging.getLogger("zeus_ray")


class LimitOwner:
    """Sets a board's limit for the leases on it, and gives back what was found.

    With a journal, nothing is written to the board before the disk says what to give back. Without
    one (a virtual board, which dies with its process) the rest is the same. ``stand_by`` is
    called between journal and board: it sees to it that somebody gives back if this process cannot.
    """

    def __init__(
        self, gpu: Gpu, journal: Journal | None, *, stand_by: Callable[[], None] = lambda: None
    ) -> None:
        self.found_w = gpu.power_limit_w()
        self._found_enforced_w = gpu.enforced_limit_w()
        self._persistent = gpu.persistent() if isinstance(gpu, Persistent) else None
        self._gpu = gpu
        self._journal = journal
        self._stand_by = stand_by
        self._ours: list[float] = []
        self._refusal: str | None = None if journal else ""

    def add_pending(self) -> tuple[LeaseEntry, ...]:
        """The leases that a process before this one left and that live on. Never writes to the board."""
        journal = self._journal
        if journal is None or not journal.path.exists() or not journal.lock(WAIT_S):
            return ()
        try:
            record = journal.read()
        except OtherVersion as error:
            log.warning("zeus-ray: %s: %s", journal.path, error)
            record = None
        live = record.live() if record else ()
        if record is None or not live:
            journal.unlock()
            return ()
        self._remember(record)
        return live

    def take(self) -> str:
        """Make the board ours; give back what the dead left. Returns why it cannot be set, "" if it can."""
        journal = self._journal
        if journal is None:
            return ""
        try:
            if journal.locked:
                return self._refusal or ""
            if not journal.lock():
                return self._who_has_it()
            return self._begin(journal.read())
        except OtherVersion as error:
            journal.unlock()
            return f"{journal.path}: {error}"
        except OSError as error:
            return f"no journal can be kept ({error}), and without one no limit is set"

    def hold(self) -> None:
        """Keep notes from now on, if no other process does. Never writes to the board."""
        try:
            if self._journal is not None:
                self._journal.lock()
        except OSError as error:
            log.warning(
                "zeus-ray: no notes can be kept, a restarted actor will not know its leases: %s", error
            )

    def note(self, entries: Sequence[LeaseEntry]) -> None:
        """Write down who holds the board now. Raises OSError."""
        if self._journal is None or not self._journal.locked:
            return
        if not entries and not self._ours:
            self._journal.clear()
            return
        self._journal.write(
            JournalRecord(
                uuid=self._gpu.uuid,
                found_limit_w=self.found_w,
                found_enforced_w=self._found_enforced_w,
                persistent=self._persistent,
                ours=tuple(self._ours),
                keeper=HolderProcess.current(""),
                entries=tuple(entries),
            )
        )

    def set(self, limit_w: float, entries: Sequence[LeaseEntry]) -> None:
        """Journal, set, read back. Where the board refuses, DeviceError; the caller falls back."""
        self._ours.append(limit_w)
        try:
            self.note(entries)
        except OSError as error:
            self._ours.pop()
            raise NoPermission(f"no limit is set: its journal cannot be written ({error})") from error
        self._stand_by()
        set_firmly(self._gpu, limit_w)
        got_w = self._gpu.power_limit_w()
        self._ours = [limit_w] if same(got_w, limit_w) else [limit_w, got_w]
        if not same(got_w, limit_w):  # a board that rounds its own way: know it again after a crash
            self.note(entries)

    def give_back(self) -> None:
        """Set what was found, unless somebody else has changed the limit since: then it is theirs."""
        if self._ours:
            restore(self._gpu, self.found_w, self._ours)
            self._ours = []

    def leave(self) -> None:
        """Let another process set this board."""
        if self._journal is not None and self._journal.locked:
            self._journal.unlock()

    def _remember(self, record: JournalRecord) -> None:
        self.found_w, self._found_enforced_w = record.found_limit_w, record.found_enforced_w
        self._ours = list(record.ours)

    def _begin(self, left: JournalRecord | None) -> str:
        if left is not None:
            self._remember(left)
            try:
                self.give_back()
            except (DeviceError, BadInput) as error:
                return f"a limit left behind could not be given back: {error}"
        self.found_w, self._found_enforced_w = self._gpu.power_limit_w(), self._gpu.enforced_limit_w()
        if self._refusal is None:
            self._refusal = self._try_to_set()
        return self._refusal

    def _try_to_set(self) -> str:
        """The only honest way to know is to try: the limit that is already set, once per process."""
        try:
            set_firmly(self._gpu, self.found_w)
        except (NoPermission, NotSupported) as error:
            return str(error)
        except BadInput as error:
            return f"the limit found is not one the board allows: {error}"
        return ""

    def _who_has_it(self) -> str:
        try:
            record = self._journal.read() if self._journal else None
        except OtherVersion:
            record = None
        trials = ", ".join(entry.holder.trial_id for entry in record.entries) if record else ""
        who = f"process {record.keeper.pid}, for {trials or 'no trial'}" if record else "another process"
        return f"{self._gpu.uuid} is held by {who}: this run only measures"


def same(a_w: float, b_w: float) -> bool:
    """Whether two limits are one and the same to a driver."""
    return abs(a_w - b_w) < SAME_W


def restore(gpu: Gpu, found_w: float, ours: Sequence[float]) -> bool:
    """Give back ``found_w`` if the limit is one of ``ours``. Returns whether a limit was written."""
    now_w = gpu.power_limit_w()
    if same(now_w, found_w):
        return False
    if not any(same(now_w, limit_w) for limit_w in ours):
        log.warning("zeus-ray: %s is at %g W, which we did not set: left alone", gpu.uuid, now_w)
        return False
    set_firmly(gpu, found_w)
    return True


def set_firmly(gpu: Gpu, limit_w: float) -> None:
    """Set a limit; a board that refuses now and then is asked again. Raises its last answer."""
    for left in reversed(range(TRIES)):
        try:
            gpu.set_power_limit_w(limit_w)
        except (BadInput, NoPermission, NotSupported, DeviceLost):
            raise
        except DeviceError:
            if not left:
                raise
            time.sleep(PAUSE_S)
        else:
            return
