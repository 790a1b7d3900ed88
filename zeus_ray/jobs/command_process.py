"""A training command as a process: start it, read its output, stop it with everything it started."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from zeus_ray.errors import BadInput
from zeus_ray.jobs.output_lines import OutputLines

OUTPUT_POLL_S = 0.5
DRAIN_S = 2.0
"""How long to read after the command has ended: a process it left running may hold its output open."""
READ_BYTES = 1 << 16
OUT_OF_MEMORY_LINE = re.compile(r"OutOfMemoryError|(?:CUDA|HIP|CUDA error:) out of memory|RESOURCE_EXHAUSTED")
DIE_WITH_PARENT = """
import ctypes, os, signal, sys
try:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
except (OSError, AttributeError):
    pass
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Runs between this process and the command: PR_SET_PDEATHSIG sends the command SIGTERM if this process is
killed with -9, so that it does not go on unmetered on a GPU that the next run needs."""


class CommandProcess:
    """A command in a session of its own; its output is passed on to ours.

    Args:
        arguments: the program and its arguments.
        env: variables that it gets besides those of this process.

    Attributes:
        out_of_memory: whether its output says that the GPU's memory was too small.

    Raises:
        BadInput: there is no such program.
    """

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        if shutil.which(arguments[0]) is None:
            raise BadInput(f"cannot run {arguments[0]!r}: there is no such program")
        self.out_of_memory = False
        self._next_poll_s = 0.0
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._process = subprocess.Popen(  # noqa: S603 — the user's own command
            [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},  # lines come when printed
        )
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self._process.stdout, sys.stdout), (self._process.stderr, sys.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def lines(self) -> Iterator[str | None]:
        """Its output line by line, see :class:`OutputLines`, and None now and then; ends with the command."""
        ended_s: float | None = None
        while True:
            try:
                line = self._lines.get(timeout=OUTPUT_POLL_S)
                self.out_of_memory = self.out_of_memory or OUT_OF_MEMORY_LINE.search(line) is not None
                yield line
                if not self._poll_is_due():
                    continue
            except queue.Empty:
                pass
            yield None
            if self._process.poll() is None or not self._lines.empty():
                continue
            ended_s = ended_s or time.monotonic()
            over = time.monotonic() - ended_s > DRAIN_S
            if over or not any(reader.is_alive() for reader in self._readers):
                return

    def _poll_is_due(self) -> bool:
        """Whether a poll interval has passed; lines may keep coming meanwhile."""
        now_s = time.monotonic()
        if now_s < self._next_poll_s:
            return False
        self._next_poll_s = now_s + OUTPUT_POLL_S
        return True

    def pass_on(self, number: int) -> None:
        """Give it a signal: an interrupt to all that it started, as a terminal does, others to itself."""
        if self._process.poll() is None:
            if number == signal.SIGINT:
                self._signal(signal.SIGINT)
            else:
                self._process.send_signal(number)

    @property
    def left_processes(self) -> bool:
        """Whether processes of its group still run."""
        try:
            os.killpg(self._process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def stop(self, grace_s: float) -> None:
        """SIGTERM to all it started, after ``grace_s`` SIGKILL to what is left; nothing once it has ended."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
            self._signal(signal.SIGKILL)
            self._process.wait()

    @property
    def exit_code(self) -> int:
        """As a shell shows it: 128 + n for signal n. Waits for the end."""
        code = self._process.wait()
        return 128 - code if code < 0 else code

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _read(self, stream: IO[bytes], passed_on: IO[str]) -> None:
        lines = OutputLines()
        with stream:
            while data := stream.read1(READ_BYTES):  # type: ignore[attr-defined]  # buffered, as Popen makes it
                with contextlib.suppress(OSError, ValueError):  # our own output may be closed
                    passed_on.buffer.write(data)  # type: ignore[attr-defined]  # of a text stream
                    passed_on.flush()
                if passed_on is sys.stderr:
                    _SHOWN.line_ended = data.endswith((b"\n", b"\r"))
                for line in lines.feed(data):
                    self._lines.put(line)
            for line in lines.end():
                self._lines.put(line)


class _Shown:
    """What standard error shows last: whether its line has ended."""

    line_ended = True


_SHOWN = _Shown()


def print_line(sentence: str) -> None:
    """Print to standard error: standard output is the command's. A progress bar there ends its line first."""
    begins = "" if _SHOWN.line_ended else "\n"
    _SHOWN.line_ended = True
    sys.stderr.write(f"{begins}zeus-ray: {sentence}\n")
    sys.stderr.flush()
