"""The metric in a command's output, and a word to the user, early, on whether it can be read there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from zeus_ray.jobs.metric_parser import MetricParser, ProgressBar, is_complete

SAID_WITHIN_S = 60.0
FINAL_AFTER_S = 10.0
"""A complete bar that nothing has followed for so long is final."""
QUOTED_CHARACTERS = 160


@dataclass(frozen=True)
class _Held:
    """The value in a complete bar, which the bar may show again with another value."""

    value: float
    bar: ProgressBar
    at_s: float


class MetricFromOutput:
    """Takes the lines of a command, as :class:`OutputLines` gives them, and gives the metric's values.

    A progress bar counts once a pass, as it stands when it begins anew, or after ten seconds: Lightning shows
    a complete bar with the value of the pass before until it has evaluated. The user is told once, as soon as
    it is known, from what line the metric is read, or which line mentions it and cannot be read; and after a
    minute of output, that there was neither.

    Args:
        parser: finds the metric in a line.
        say: takes a sentence for the user.
    """

    def __init__(self, parser: MetricParser, say: Callable[[str], None]) -> None:
        self._parser = parser
        self._say = say
        self._held: _Held | None = None
        self._latest: float | None = None
        self._began_s: float | None = None
        self._read = self._quoted = self._waited = False

    def values(self, line: str, now_s: float | None = None) -> list[float]:
        """The values that are final with this line: none or one, or two where a bar was final before it."""
        now_s = now_s or time.monotonic()
        self._began_s = self._began_s or now_s
        value, bar = self._parser.found(line), ProgressBar.of(line)
        self._tell(line, value)
        if bar is None:
            return [] if value is None or not is_complete(line) else self._final(value)
        found: list[float] = []
        if self._held is not None and bar.begins_anew(self._held.bar):
            found = self.end()
        elif self._held is not None and now_s - self._held.at_s > FINAL_AFTER_S:
            found = self._held_if_new()
        if value is not None and bar.is_complete:
            self._held = _Held(value, bar, now_s)
        return found

    def check(self, now_s: float | None = None) -> list[float]:
        """Values that are final because time has passed; after a minute without the metric, says so once."""
        now_s = now_s or time.monotonic()
        if self._held is not None and now_s - self._held.at_s > FINAL_AFTER_S:
            return self._held_if_new()
        known = self._read or self._quoted or self._waited or self._began_s is None
        if not known and now_s - (self._began_s or now_s) >= SAID_WITHIN_S:
            self._waited = True
            name = self._parser.name
            self._say(
                f"no {name!r} in the first minute of output, which is right if it is evaluated later; lines "
                f"such as {name}=0.91 are read, others with --metric-regex or --metrics-file"
            )
        return []

    def say_if_never_read(self) -> None:
        """The output has ended: where nothing in it was the metric, says so, with the remedy."""
        if not (self._read or self._quoted):
            name = self._parser.name
            self._say(
                f"no {name!r} in the whole output: lines such as {name}=0.91 are read, "
                "others with --metric-regex"
            )

    def end(self) -> list[float]:
        """The value of a bar that is final now."""
        held, self._held = self._held, None
        if held is None:
            return []
        self._latest = held.value
        return [held.value]

    def _held_if_new(self) -> list[float]:
        """The value of a bar that has stood for a while, unless it is still that of the pass before."""
        return [] if self._held is None or self._held.value == self._latest else self.end()

    def _final(self, value: float) -> list[float]:
        """The value of a line that is no bar, after that of a bar before, unless it is the same."""
        before = self.end()
        self._latest = value
        return [value] if before == [value] else [*before, value]

    def _tell(self, line: str, value: float | None) -> None:
        if self._read:
            return
        if value is not None:
            self._read = True
            self._say(f"{self._parser.name} is read as {value:g} from {quoted(line)}")
        elif not self._quoted and self._parser.mentions(line):
            self._quoted = True
            self._say(
                f"this line mentions {self._parser.name!r}, but no value is read from it: {quoted(line)}. If "
                f"it is the metric, give --metric-regex '{self._parser.name}\\D*([0-9.]+)' or the like"
            )


def quoted(line: str) -> str:
    """A line for a message, cut where it is long."""
    text = line.strip()
    return repr(text if len(text) <= QUOTED_CHARACTERS else f"{text[: QUOTED_CHARACTERS - 1]}…")
