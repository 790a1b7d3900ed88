"""Lines from the output of a command, as it comes: progress bars included, terminal codes left out."""

from __future__ import annotations

import codecs
import re

LONGEST_LINE = 1 << 16
"""Characters after which a line is taken to end, such as in binary output."""
_TERMINAL_CODES = re.compile(
    r"\x1b\[[0-9;:?]*[ -/]*[@-~]"  # colours and movements
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles and links
    r"|\x1b[@-Z\\^_]"
)
_OVERWRITTEN = re.compile(r"[\r\b]+")


class OutputLines:
    r"""Splits a stream of bytes into lines.

    A line that ends in ``"\n"`` is complete. One that ends in ``"\r"`` has been overwritten or may be, as a
    progress bar is, which may come again, complete or longer.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        self._is_bar = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes or overwrites, and the bar with which it ends, as it stands."""
        *complete, rest = (self._rest + self._decoder.decode(data)).split("\n")
        lines = [line for text in complete for line in self._parts(text, "\n")]
        parts = _OVERWRITTEN.split(rest)
        was_bar = self._is_bar and not complete
        self._is_bar = was_bar or len(parts) > 1
        if self._is_bar:
            lines += self._parts(rest, "\r")
        self._rest = _as_it_stands(parts) if self._is_bar else rest
        if len(self._rest) > LONGEST_LINE:
            lines += [] if self._is_bar else self._parts(self._rest, "\n")
            self._rest = ""
        return lines

    def end(self) -> list[str]:
        """The last line, which nothing ended."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        return self._parts(rest, "\n")

    @staticmethod
    def _parts(text: str, end: str) -> list[str]:
        r"""``text`` split where it was overwritten: all parts but the last end in ``"\r"``."""
        parts = [p for part in _OVERWRITTEN.split(text) if (p := without_terminal_codes(part)).strip()]
        return [f"{part}\r" for part in parts[:-1]] + [f"{part}{end}" for part in parts[-1:]]


def _as_it_stands(parts: list[str]) -> str:
    r"""What a bar shows, and may show again: its last part; after what stood before it, if blank."""
    if parts[-1].strip():
        return parts[-1]
    shown = [part for part in parts if part.strip()]
    return f"{shown[-1] if shown else ''}\r{parts[-1]}"


def without_terminal_codes(text: str) -> str:
    """``text`` without colours, movements of the cursor, and other codes for a terminal."""
    return _TERMINAL_CODES.sub("", text) if "\x1b" in text else text
