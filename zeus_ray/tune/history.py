"""Every ask, profile and tell of a search, one JSON line each, on disk before the search moves on.

Ray Tune saves a searcher every ten seconds at best. What was told since then would be lost with the
driver; it is read back from here. Lines are only ever appended; a half-written last line is dropped.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger("zeus_ray")
Event = dict[str, Any]


def default_folder() -> Path:
    """Where searches are remembered: ``$XDG_STATE_HOME`` or ``~/.local/state``, under ``zeus-ray``."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "zeus-ray" / "searches"


class History:
    """An append-only file. ``length`` is the number of events so far, which a snapshot remembers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length = sum(1 for _ in self.events())

    def append(self, event: Event) -> None:
        """Add one event; it is on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(json.dumps(event).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.length += 1

    def events(self) -> Iterator[Event]:
        """All events, oldest first."""
        if not self.path.exists():
            return
        for number, line in enumerate(self.path.read_bytes().splitlines(), 1):
            try:
                yield json.loads(line)
            except ValueError:
                log.warning("zeus-ray: line %d of %s is damaged and left out", number, self.path)

    def since(self, length: int) -> list[Event]:
        """The events after the first ``length``."""
        return list(self.events())[length:]
