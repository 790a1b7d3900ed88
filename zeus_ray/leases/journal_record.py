"""What the journal of one GPU says: its original limit, the limits set since, and its leases."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from zeus_ray.errors import BadInput
from zeus_ray.gpus.energy.readings import EnergyReading
from zeus_ray.leases.process import HolderProcess, boot_id
from zeus_ray.records import from_json, to_json

JOURNAL_VERSION = 2


class OtherVersion(BadInput):
    """A journal of another version of zeus-ray: only that version may change it, or restore its limit."""

    def __init__(self, version: object) -> None:
        super().__init__(
            f"journal version is {version}, this zeus-ray writes {JOURNAL_VERSION}: "
            "run `zeus-ray restore` of the version that wrote it"
        )


@dataclass(frozen=True, kw_only=True)
class LeaseEntry:
    """One lease: its holder process, the limit it has set (None: none), its energy and its emissions.

    ``energy_j`` (J) is charged up to ``charged_to``, a reading of the GPU's meter at the wall clock time
    ``charged_to_s``; ``amount`` is what that energy emitted or cost, in the unit of ``emissions``, JSON of an
    :class:`EmissionsConfig` ("": it is not priced). ``profile``: JSON of the power profile by which the limit
    follows the grid ("": it does not). ``start_drift_j``: ``drift_j`` of the meter at the lease's start.
    """

    lease_id: str
    holder: HolderProcess
    control: str
    limit_w: float | None
    start_s: float
    start_err_j: float
    energy_j: float
    charged_to: EnergyReading
    shared: bool
    emissions: str = ""
    amount: float = 0.0
    charged_to_s: float = 0.0
    profile: str = ""
    start_drift_j: float = 0.0

    def __post_init__(self) -> None:
        """Raise BadInput for numbers that no GPU has reported."""
        numbers = (self.limit_w or 0.0, self.start_s, self.start_err_j, self.energy_j)
        _check_finite(*numbers, *dataclasses.astuple(self.charged_to))


@dataclass(frozen=True, kw_only=True)
class JournalRecord:
    """The content of one GPU's journal.

    ``source`` opens the GPU again (see ``ZEUS_RAY_GPU``). ``our_limits_w``: every limit that was set, or was
    about to be. ``manager``: the process that wrote this. ``original_enforced_w`` and ``persistent`` are for
    an operator to read; neither is ever set. A record of a newer version can be read, its unknown fields are
    ignored; see :meth:`check_version` before anything is changed.
    """

    __pydantic_config__: ClassVar[Mapping[str, object]] = {"strict": True}  # no "150" or true for a number

    uuid: str
    source: str
    original_limit_w: float
    original_enforced_w: float
    persistent: bool | None
    our_limits_w: tuple[float, ...]
    manager: HolderProcess
    entries: tuple[LeaseEntry, ...]
    boot_id: str
    version: int

    def __post_init__(self) -> None:
        """Raise BadInput for numbers that no GPU has reported."""
        _check_finite(self.original_limit_w, self.original_enforced_w, *self.our_limits_w)

    def check_version(self) -> None:
        """Raise OtherVersion unless this version of zeus-ray may restore the limit and replace the record."""
        if self.version != JOURNAL_VERSION:
            raise OtherVersion(self.version)

    @property
    def of_this_boot(self) -> bool:
        """Whether the machine has not been restarted since: a restart resets its limits."""
        return self.boot_id == boot_id()

    def live(self) -> tuple[LeaseEntry, ...]:
        """The leases whose holder process still runs."""
        if not self.of_this_boot:
            return ()
        return tuple(entry for entry in self.entries if entry.holder.alive())

    def manager_alive(self) -> bool:
        """Whether the process that wrote this still exists; it may be stopped."""
        return self.of_this_boot and self.manager.alive()

    def held_by(self) -> str:
        """The lease manager's process and its trials, for a message."""
        trials = ", ".join(entry.holder.trial_id for entry in self.entries)
        return f"process {self.manager.pid}, for {trials or 'no trial'}"


def write_record(record: JournalRecord) -> bytes:
    """The record as JSON with a checksum."""
    content = json.loads(to_json(record))
    return json.dumps({"sha256": _checksum(content), **content}).encode()


def parse_record(text: str | bytes) -> JournalRecord:
    """A record from its JSON, of this version or of another one that has the same fields and more.

    Raises:
        OtherVersion: a record of another version, with other fields.
        BadInput: not a record, or one that was changed after it was written.
    """
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"not a journal: {error}") from error
    if not isinstance(content, dict):
        raise BadInput(f"not a journal: a JSON {type(content).__name__}")
    checksum = content.pop("sha256", None)
    if checksum is not None and checksum != _checksum(content):
        raise BadInput("not a journal: its checksum is wrong, so it was damaged after it was written")
    try:
        return from_json(JournalRecord, text)
    except BadInput:
        version = content.get("version")
        if type(version) not in (int, str, dict) or version == JOURNAL_VERSION:
            raise
        raise OtherVersion(version) from None


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _check_finite(*numbers: float) -> None:
    if not all(math.isfinite(number) for number in numbers):
        raise BadInput(f"{numbers} has a number that is not finite")
