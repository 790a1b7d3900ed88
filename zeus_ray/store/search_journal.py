"""Every profile and tell of a search, one JSON line each, on disk before the search moves on.

Ray Tune saves a searcher every ten seconds at best. What was told since then would be lost with the
driver; it is read back from here. Lines are only ever appended; a half-written last line is dropped.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import Self

from zeus_ray.decide import Search
from zeus_ray.records import Outcome, PowerProfile, StopReason, from_json, from_plain, to_json

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


class EventRecorder:
    """Tells a search what has happened, once that is on disk; and a restored one what it had not heard of.

    Attributes:
        told: runs that have ended, and not by an error: none of them should run again.
    """

    def __init__(self, history: History) -> None:
        self.told: set[str] = set()
        self.history = history

    def profile(self, search: Search, profile: PowerProfile) -> None:
        """A trial has measured a profile."""
        self.history.append({"profile": to_json(profile)})
        search.observe_profile(profile)

    def outcome(self, search: Search, outcome: Outcome) -> None:
        """A trial has ended."""
        target = dataclasses.asdict(search.target)
        self.history.append({"outcome": dataclasses.asdict(outcome), "target": target})
        self._tell(search, outcome)

    def _tell(self, search: Search, outcome: Outcome) -> None:
        search.tell(outcome)
        if outcome.stop != StopReason.ERROR:  # that one may be tried again
            self.told.add(outcome.knobs.run_id)

    def state(self) -> dict[str, Any]:
        """For a snapshot: what the search knows that is taken at the same time."""
        return {"path": self.history.path, "length": self.history.length, "told": self.told}

    @classmethod
    def restored(cls, state: Mapping[str, Any], search: Search) -> Self:
        """The teller of ``search``, which is of the same snapshot and is told what came after it."""
        teller = cls(History(state["path"]))
        teller.told = set(state["told"])
        for event in teller.history.since(state["length"]):
            if "profile" in event:
                search.observe_profile(from_json(PowerProfile, event["profile"]))
            else:
                outcome = from_plain(Outcome, event["outcome"])
                search.add_pending(outcome.knobs)
                teller._tell(search, outcome)
        return teller
