"""A thread that samples a GPU, or CPUs, while they are measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class SamplingThread:
    """Calls ``sample`` every ``every_s`` until ``idle``; then ends, and can be started again.

    With ``every_s=None`` it never starts.
    """

    def __init__(self, sample: Callable[[], object], idle: Callable[[], bool], every_s: float | None) -> None:
        self._sample = sample
        self._idle = idle
        self._every_s = every_s
        self._lock = threading.Lock()
        self._running = False

    def start(self) -> None:
        """Start the thread unless it runs."""
        with self._lock:
            if self._every_s is None or self._running:
                return
            self._running = True
        threading.Thread(
            target=self._run, args=(self._every_s,), name="zeus-ray-sampler", daemon=True
        ).start()

    def _run(self, every_s: float) -> None:
        while True:
            with self._lock:  # else start() could see a thread as running that is about to end
                if self._idle():
                    self._running = False
                    return
            self._sample()
            time.sleep(every_s)
