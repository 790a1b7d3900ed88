"""A training as a command: started, listened to, and stopped with everything it started."""

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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from zeus_ray.errors import BadInput
from zeus_ray.jobs.metric_parser import MetricFile, MetricReader

TICK_S = 0.5
DRAIN_S = 2.0
"""How long to listen after the command has ended: something it left running may hold its output open."""
LONGEST_LINE = 1 << 16
OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|(?:CUDA|HIP|CUDA error:) out of memory|RESOURCE_EXHAUSTED")
DIES_WITH_US = """
import ctypes, os, signal, sys
try:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
except (OSError, AttributeError):
    pass
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Between us and the command: PR_SET_PDEATHSIG, so that it gets SIGTERM should we be killed with -9, and
does not go on unmetered on a GPU that the next run wants."""


class Command:
    """Runs ``arguments`` in a session of its own; its output goes on to ours.

    Attributes:
        out_of_memory: whether it said that the GPU's memory was too small.

    Raises:
        BadInput: there is no such program.
    """

    def __init__(self, arguments: Sequence[str], reader: MetricReader, metrics_file: Path | None) -> None:
        if shutil.which(arguments[0]) is None:
            raise BadInput(f"cannot run {arguments[0]!r}: there is no such program")
        self.out_of_memory = False
        self._next_tick_s = 0.0
        self._reader = reader
        self._file = MetricFile(metrics_file, reader) if metrics_file else None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._process = subprocess.Popen(  # noqa: S603 — the user's own command
            [sys.executable, "-I", "-S", "-c", DIES_WITH_US, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # a metric line is wanted when it is printed
        )
        self._listeners = [
            threading.Thread(target=self._listen, args=pair, daemon=True)
            for pair in ((self._process.stdout, sys.stdout), (self._process.stderr, sys.stderr))
        ]
        for listener in self._listeners:
            listener.start()

    def values(self) -> Iterator[float | None]:
        """The metric each time it is written, and None now and then; ends with the command."""
        ended_s: float | None = None
        while True:
            try:
                yield self._take(self._lines.get(timeout=TICK_S))
                if not self._tick():
                    continue
            except queue.Empty:
                pass
            yield from self._file.new() if self._file else ()
            yield None
            if self._process.poll() is None or not self._lines.empty():
                continue
            ended_s = ended_s or time.monotonic()
            over = time.monotonic() - ended_s > DRAIN_S
            if over or not any(listener.is_alive() for listener in self._listeners):
                return

    def _tick(self) -> bool:
        """Whether it is time to look around, also while lines keep coming."""
        now_s = time.monotonic()
        if now_s < self._next_tick_s:
            return False
        self._next_tick_s = now_s + TICK_S
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
        """As a shell gives it: 128 + n for signal n."""
        code = self._process.wait()
        return 128 - code if code < 0 else code

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _take(self, line: str) -> float | None:
        if OUT_OF_MEMORY.search(line):
            self.out_of_memory = True
        return None if self._file else self._reader.value(line)

    def _listen(self, stream: IO[bytes], onwards: IO[str]) -> None:
        with stream:
            while line := stream.readline(LONGEST_LINE):
                text = line.decode(errors="replace")
                with contextlib.suppress(OSError, ValueError):  # nobody may be listening to us any more
                    onwards.write(text)
                    onwards.flush()
                self._lines.put(text)
