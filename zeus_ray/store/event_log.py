"""The event log of a recurring job or a search: append, read. One file per event, on any storage.

A file is written whole, under a name that no other writer uses, and never changed. That is atomic on
every storage, needs no lock, and lets any number of runs append at once. A name begins with a number
that each writer takes one above the highest it sees, so that sorting the names puts what was known
before what was decided from it. Each file is one line of JSON with a version and a checksum:
``cat *.json`` reads as JSON lines. A damaged file stays where it is, is named in one warning, and is
left out.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import Self

from zeus_ray.errors import BadInput, HistoryError
from zeus_ray.records import from_plain, to_plain
from zeus_ray.store.events import EVENT_KINDS, Event, RunEnded, RunLost
from zeus_ray.store.storage import Storage, open_storage

EVENT_VERSION = 1
EVENT_FILE = re.compile(rf"(\d{{8,}})-({'|'.join(EVENT_KINDS)})-([A-Za-z0-9-]+)\.json")
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PARALLEL_READS = 16
"""On cloud storage reading a file takes tens of milliseconds."""

logger = logging.getLogger("zeus_ray")


@dataclass(frozen=True, kw_only=True)
class LoggedEvent:
    """An event with its place in the log.

    Attributes:
        number: orders events; writers that append at the same time may take the same one.
        at_s: clock of the writer (s since 1970).
        event: what happened.
    """

    number: int
    at_s: float
    event: Event


class EventLog:
    """Appends and reads events. Stored events never change, so each file is read once."""

    def __init__(self, storage: Storage, *, one_writer: bool = False) -> None:
        self._storage = storage
        self._one_writer = one_writer
        self._last_number: int | None = None
        self._read: dict[str, LoggedEvent] = {}
        self._damaged: set[str] = set()

    @classmethod
    def open(cls, location: str | os.PathLike[str], *, one_writer: bool = False) -> Self:
        """The log in a folder: a path, or a URI that pyarrow knows. Raises BadInput.

        Args:
            location: the folder.
            one_writer: nothing else appends meanwhile, so that events are counted here: listing the folder
                before each one takes longer the more there are.
        """
        return cls(open_storage(location), one_writer=one_writer)

    def read(self, after: int = 0) -> list[LoggedEvent]:
        """The events with a number above ``after``, in order. A run that has ended counts as not lost.

        Raises:
            HistoryError: the storage does not answer.
        """
        names = [name for name in self._names() if _number(name) > after]
        unread = [name for name in names if name not in self._read and name not in self._damaged]
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            loaded = list(pool.map(self._load, unread))
        damaged = []
        for name, event in zip(unread, loaded, strict=True):
            if isinstance(event, LoggedEvent):
                self._read[name] = event
            else:
                damaged.append(f"{name} ({event})")
                self._damaged.add(name)
        if damaged:
            logger.warning("zeus-ray: %d event(s) are left out: %s", len(damaged), "; ".join(damaged))
        return _without_false_losses(self._read[name] for name in names if name in self._read)

    def append(self, event: Event) -> None:
        """Add an event; it is stored when this returns.

        Raises:
            HistoryError: the storage refuses (on cloud storage pyarrow has retried).
        """
        kind = next(kind for kind, record in EVENT_KINDS.items() if isinstance(event, record))
        number = 1 + self.last_number()
        if self._one_writer and self._is_stored(f"{number:08d}-{kind}-{event.run_id}.json"):
            self._last_number = None  # it was not the only writer
            number = 1 + self.last_number()
        name = f"{number:08d}-{kind}-{event.run_id}.json"
        try:
            self._storage.write(name, encode_event(kind, time.time(), event))
        except OSError as error:
            raise HistoryError(f"the event log cannot be written: {error}") from error
        self._last_number = number

    def _is_stored(self, name: str) -> bool:
        try:
            self._storage.read(name)
        except OSError:
            return False
        return True

    def last_number(self) -> int:
        """The highest number so far; 0 for an empty log. Raises HistoryError."""
        if self._one_writer and self._last_number is not None:
            return self._last_number
        self._last_number = max((_number(name) for name in self._names()), default=0)
        return self._last_number

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in self._storage.names() if EVENT_FILE.fullmatch(name))
        except OSError as error:
            raise HistoryError(f"the event log cannot be read: {error}") from error

    def _load(self, name: str) -> LoggedEvent | str:
        """The event of a file, or what is wrong with it."""
        try:
            return decode_event(name, self._storage.read(name))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            return str(error).partition("\n")[0]


def open_job_log(history: str | os.PathLike[str], job: str) -> EventLog:
    """The event log of a recurring job: the folder ``job`` of a history.

    Raises:
        BadInput: the name of the job is not allowed, or the history is a file or an unknown URI.
    """
    if not JOB_NAME.fullmatch(job):
        raise BadInput(f"job is {job!r}; allowed: letters, digits, '.', '_' and '-', such as resnet-nightly")
    return EventLog(open_storage(history).subfolder(job))


def new_search_history() -> Path:
    """A new folder for the event log of one search: under ``$XDG_STATE_HOME``, or ``~/.local/state``."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "zeus-ray" / "searches" / uuid.uuid4().hex


def job_names(history: str | os.PathLike[str]) -> list[str]:
    """The jobs of a history. Raises BadInput, HistoryError."""
    storage = open_storage(history)
    try:
        return [name for name in storage.names() if JOB_NAME.fullmatch(name)]
    except OSError as error:
        raise HistoryError(f"the history cannot be read: {error}") from error


def encode_event(kind: str, at_s: float, event: Event) -> str:
    """One line of JSON."""
    return _sealed({"version": EVENT_VERSION, "kind": kind, "at_s": at_s, "event": to_plain(event)})


def decode_event(name: str, text: str) -> LoggedEvent:
    """Inverse of :func:`encode_event`, for a file of this name. Raises ValueError saying what is wrong."""
    try:
        raw = json.loads(text)
        del raw["sha256"]
        version, intact = raw["version"], _sealed(raw) == text
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("damaged") from None
    if version != EVENT_VERSION:
        raise ValueError(f"version {version!r}; this zeus-ray reads version {EVENT_VERSION}")
    if not intact or raw["kind"] not in EVENT_KINDS:
        raise ValueError("damaged, or changed after it was written")
    try:
        event = from_plain(EVENT_KINDS[raw["kind"]], raw["event"])
        return LoggedEvent(number=_number(name), at_s=float(raw["at_s"]), event=event)
    except (KeyError, TypeError) as error:
        raise ValueError(f"its body has no {error}") from None


def _sealed(content: dict[str, Any]) -> str:
    """``content`` as JSON, with the checksum of the rest in front. ``json`` writes what it read unchanged."""
    checksum = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    return json.dumps({"sha256": checksum, **content}) + "\n"


def _number(name: str) -> int:
    return int(name.partition("-")[0])


def _without_false_losses(events: Iterable[LoggedEvent]) -> list[LoggedEvent]:
    """One loss per run, and none of a run that ended after it was given up."""
    in_order = list(events)
    over = {logged.event.run_id for logged in in_order if isinstance(logged.event, RunEnded)}
    kept = []
    for logged in in_order:
        if isinstance(logged.event, RunLost):
            if logged.event.run_id in over:
                continue
            over.add(logged.event.run_id)
        kept.append(logged)
    return kept
