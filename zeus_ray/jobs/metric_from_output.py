"""The metric in a command's output, and a word to the user, early, on whether it can be read there."""

from __future__ import annotations

import time
from collections.abc import Callable

from zeus_ray.jobs.metric_parser import MetricParser, is_complete

SAID_WITHIN_S = 60.0
QUOTED_CHARACTERS = 160


class MetricFromOutput:
    """Takes the lines of a command, as :class:`OutputLines` gives them, and gives the metric's values.

    A progress bar counts once, as it stands when it is complete and another begins. The user is told once, as
    soon as it is known, from what line the metric is read, or which line mentions it and cannot be read; and
    after a minute of output, that there was neither.

    Args:
        parser: finds the metric in a line.
        say: takes a sentence for the user.
    """

    def __init__(self, parser: MetricParser, say: Callable[[str], None]) -> None:
        self._parser = parser
        self._say = say
        self._held: float | None = None
        self._began_s: float | None = None
        self._read = self._quoted = self._waited = False

    def values(self, line: str, now_s: float | None = None) -> list[float]:
        """The values that are final with this line: none or one, or two where a bar was final before it."""
        self._began_s = self._began_s or now_s or time.monotonic()
        value = self._parser.found(line)
        self._tell(line, value)
        self.check(now_s)
        if value is None:
            return []
        complete = is_complete(line)
        if line.endswith("\r") and complete:
            self._held = value
            return []
        held, self._held = self._held, None
        if not complete:
            return [] if held is None else [held]
        return [value]

    def end(self) -> list[float]:
        """The value of a last bar that nothing followed."""
        held, self._held = self._held, None
        return [] if held is None else [held]

    def check(self, now_s: float | None = None) -> None:
        """After a minute of output without the metric, say so once."""
        if self._read or self._quoted or self._waited or self._began_s is None:
            return
        if (now_s or time.monotonic()) - self._began_s >= SAID_WITHIN_S:
            self._waited = True
            name = self._parser.name
            self._say(
                f"no {name!r} in the first minute of output, which is right if it is evaluated later; lines "
                f"such as {name}=0.91 are read, others with --metric-regex or --metrics-file"
            )

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
