"""A job's history: one small file per event, in a folder of the job, on local disk or cloud storage.

A file is written whole under a name nobody else uses, and never changed. That is atomic on every
storage, needs no lock and no conditional write, and lets any number of runs append at once. The names
hold a counter that each writer takes one beyond what it has seen, so that sorting them puts what was
known before what was decided from it. Each file is one line of JSON with a checksum: `cat *.json`
reads as JSON lines. What is damaged stays where it is, is named in a warning, and counts for nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeus_ray.errors import BadInput, HistoryError
from zeus_ray.store.storage import LocalFolder, Storage, StorageFolder

VERSION = 1
ASK, PROFILE, END, LOST = "ask", "profile", "end", "lost"
NAME = re.compile(r"(\d{8,})-(ask|profile|end|lost)-([A-Za-z0-9-]+)\.json")
JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
AT_ONCE = 16
"""Files read at the same time: on cloud storage each takes tens of milliseconds."""

log = logging.getLogger("zeus_ray")


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened to a run: ``number`` orders events, ``at_s`` is the writer's clock (s since 1970)."""

    number: int
    kind: str
    run: str
    at_s: float
    body: Mapping[str, Any]


def folder_at(history: str | os.PathLike[str], job: str) -> Storage:
    """The folder of a job: under a path, or a URI that pyarrow knows (``s3://…``, ``gs://…``).

    Raises:
        BadInput: a name of a job that is no file name, a path that is a file, an unknown URI.
    """
    if not JOB.fullmatch(job):
        raise BadInput(f"job is {job!r}; allowed: letters, digits, '.', '_' and '-', such as resnet-nightly")
    return _folder(os.fspath(history), f"/{job}")


def jobs_in(history: str | os.PathLike[str]) -> list[str]:
    """The jobs of a history. Raises BadInput, HistoryError."""
    try:
        return [name for name in _folder(os.fspath(history), "").names() if JOB.fullmatch(name)]
    except OSError as error:
        raise HistoryError(f"the history cannot be read: {error}") from error


def _folder(text: str, below: str) -> Storage:
    if "://" not in text:
        path = Path(text).expanduser()
        if path.is_file():
            raise BadInput(f"history {text!r} is a file; allowed: a folder, which need not be there yet")
        return LocalFolder(Path(f"{path}{below}"))
    from pyarrow import fs  # noqa: PLC0415 — comes with ray[tune]; only cloud storage needs it

    try:
        filesystem, root = fs.FileSystem.from_uri(text)
    except (ValueError, OSError, NotImplementedError) as error:
        raise BadInput(
            f"history is {text!r}, which pyarrow cannot open ({error}); allowed: a path, s3://…, gs://…"
        ) from error
    return StorageFolder(filesystem, root.rstrip("/") + below)


class Events:
    """Reads and appends. Files never change, so each is read once."""

    def __init__(self, folder: Storage) -> None:
        self._folder = folder
        self._known: dict[str, Event] = {}
        self._damaged: set[str] = set()

    def read(self) -> list[Event]:
        """All events in order; one ask, one end or one loss per run, and no loss beside an end.

        Raises:
            HistoryError: the storage does not answer.
        """
        names = self._names()
        new = [name for name in names if name not in self._known and name not in self._damaged]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for name, event in zip(new, pool.map(self._load, new), strict=True):
                if event is not None:
                    self._known[name] = event
        return _once(self._known[name] for name in names if name in self._known)

    def append(self, kind: str, run: str, body: Mapping[str, Any]) -> None:
        """Add one event; it is stored when this returns.

        Raises:
            HistoryError: the storage takes nothing (cloud storage has been tried again by pyarrow).
        """
        number = 1 + max((int(name.partition("-")[0]) for name in self._names()), default=0)
        event = Event(number=number, kind=kind, run=run, at_s=time.time(), body=body)
        name = f"{number:08d}-{kind}-{run}.json"
        try:
            self._folder.write(name, encode(event))
        except OSError as error:
            raise HistoryError(f"the history cannot be written: {error}") from error

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in self._folder.names() if NAME.fullmatch(name))
        except OSError as error:
            raise HistoryError(f"the history cannot be read: {error}") from error

    def _load(self, name: str) -> Event | None:
        try:
            return decode(name, self._folder.read(name))
        except (OSError, ValueError) as error:
            self._damaged.add(name)
            log.warning("zeus-ray: %s of the history is set aside: %s", name, error)
            return None


def encode(event: Event) -> str:
    """One line of JSON."""
    content = json.dumps({"at_s": event.at_s, **event.body})
    return f'{{"zeus_ray": {VERSION}, "sha256": "{_checksum(content)}", "event": {content}}}\n'


def decode(name: str, text: str) -> Event:
    """Inverse of :func:`encode`. Raises ValueError saying what is wrong."""
    parts = NAME.fullmatch(name)
    if parts is None:
        raise ValueError("its name is not one of ours")
    head, found, rest = text.partition('"event": ')
    version = re.match(r'\{"zeus_ray": (\d+), "sha256": "([0-9a-f]*)", $', head)
    if not found or version is None or not rest.endswith("}\n"):
        raise ValueError("it is damaged")
    if int(version[1]) != VERSION:
        raise ValueError(f"it has version {version[1]}, and this zeus-ray reads version {VERSION}")
    content = rest.removesuffix("}\n")
    if _checksum(content) != version[2]:
        raise ValueError("it is damaged, or was changed after it was written")
    body = json.loads(content)
    return Event(number=int(parts[1]), kind=parts[2], run=parts[3], at_s=body.pop("at_s"), body=body)


def _checksum(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _once(events: Iterable[Event]) -> list[Event]:
    """The first of each kind for a run, but all profiles. A run given up for lost may yet have ended."""
    in_order = list(events)
    ended = {event.run for event in in_order if event.kind == END}
    seen: set[tuple[str, str]] = set()
    kept = []
    for event in in_order:
        key = (event.kind, event.run)
        if event.kind != PROFILE and (key in seen or (event.kind == LOST and event.run in ended)):
            continue
        seen.add(key)
        kept.append(event)
    return kept
