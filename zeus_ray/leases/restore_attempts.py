"""The watchdog's attempts to restore limits: each in its own process, with a deadline; none is the last."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from zeus_ray.errors import BadInput
from zeus_ray.leases.recovery import RestoreOutcome
from zeus_ray.records import from_json, to_json

RESTORE_WITHIN_S, SLOWEST = 8.0, 3
"""A GPU that takes longer hangs: its process is killed, and another one tries again.

It may be slow instead: the second attempt may take twice as long, the next ones up to 2**SLOWEST times.
"""
RETRY_S, RETRY_SLOWLY_S, SLOWLY_AFTER = 0.5, 5.0, 20
"""Seconds between attempts, and after how many the longer ones begin; there is no last attempt."""

logger = logging.getLogger("zeus_ray")


@dataclass
class RestoreAttempt:
    """The attempts to restore one GPU's limit: the one that runs now, and how the earlier ones went."""

    pid: int = 0
    pipe: int = -1
    until_s: float = 0.0
    late: int = 0
    failures: int = 0
    next_s: float = 0.0
    message: str = ""

    @property
    def within_s(self) -> float:
        """How long the next attempt may take."""
        return float(RESTORE_WITHIN_S * 2 ** min(self.late, SLOWEST))


class RestoreAttempts:
    """The attempts for each journal by its name.

    Args:
        here: in this process, for someone who waits for the outcome; else in processes of their own.
        done: called with the name of a journal whose limit was restored.
    """

    def __init__(self, *, here: bool, done: Callable[[str], object]) -> None:
        self._here = here
        self._done = done
        self._attempts: dict[str, RestoreAttempt] = {}

    @property
    def problems(self) -> dict[str, str]:
        """Why limits could not be restored, by the name of the journal."""
        return {name: attempt.message for name, attempt in self._attempts.items() if attempt.message}

    def keep_only(self, names: Collection[str]) -> None:
        """Forget the attempts for other names, but for those that still run."""
        self._attempts = {n: a for n, a in self._attempts.items() if n in names or a.pid}

    def busy(self, name: str) -> bool:
        """Whether an attempt runs, or the next one has to wait; one that is over is ended."""
        attempt = self._attempts.setdefault(name, RestoreAttempt())
        if attempt.pid:
            self._collect(name, attempt)
            return True
        return time.monotonic() < attempt.next_s

    def held(self, name: str) -> None:
        """A process will restore the limit: earlier failures do not count."""
        attempt = self._attempts.setdefault(name, RestoreAttempt())
        attempt.failures, attempt.message = 0, ""

    def failed(self, name: str, message: str) -> None:
        """An attempt has failed, or could not be begun."""
        attempt = self._attempts.setdefault(name, RestoreAttempt())
        attempt.failures += 1
        attempt.next_s = time.monotonic() + (RETRY_SLOWLY_S if attempt.failures > SLOWLY_AFTER else RETRY_S)
        if message != attempt.message:
            logger.warning("zeus-ray: %s is not restored, and tried again: %s", name, message)
        attempt.message = message

    def begin(self, name: str, restore: Callable[[], RestoreOutcome | None]) -> None:
        """Begin an attempt. Raises OSError where no process can be started."""
        attempt = self._attempts.setdefault(name, RestoreAttempt())
        if self._here:
            self._end(name, attempt, restore())
            return
        read, write = os.pipe()
        try:
            attempt.pid = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            raise
        if attempt.pid:
            os.close(write)
            attempt.pipe, attempt.until_s = read, time.monotonic() + attempt.within_s
            return
        try:
            outcome = restore()
            os.write(write, to_json(outcome).encode()[:4000] if outcome else b"")
        finally:
            os._exit(0)

    def _collect(self, name: str, attempt: RestoreAttempt) -> None:
        """End an attempt that is over, or takes too long."""
        if not os.waitpid(attempt.pid, os.WNOHANG)[0]:
            if time.monotonic() > attempt.until_s:
                os.kill(attempt.pid, signal.SIGKILL)
                attempt.until_s = time.monotonic() + RETRY_SLOWLY_S
                self.failed(name, f"the GPU does not answer within {attempt.within_s:g} s")
                attempt.late += 1
            return
        attempt.pid = 0
        with os.fdopen(attempt.pipe, "rb") as pipe:
            text = pipe.read()
        try:
            self._end(name, attempt, from_json(RestoreOutcome, text) if text else None)
        except BadInput as error:
            self.failed(name, str(error))

    def _end(self, name: str, attempt: RestoreAttempt, outcome: RestoreOutcome | None) -> None:
        """An attempt is over. None: it was killed, or there was no journal any more."""
        attempt.next_s = max(attempt.next_s, time.monotonic() + RETRY_S)
        if outcome is None:
            return
        if outcome.failed:
            self.failed(name, outcome.message)
            return
        attempt.message = outcome.message
        if outcome.done:
            del self._attempts[name]
            self._done(name)
            logger.info("zeus-ray: %s: %s", outcome.uuid, outcome.message)
