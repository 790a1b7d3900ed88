"""A lock on a file that ends with its process, and whose file tells whether that process still answers.

The modification time of the file is the heartbeat: the holder sets it to the monotonic clock, which all
processes of a machine share and no operator can change. That works on a full disk, too. A forked child never
holds its parent's lock, and a lock whose file was deleted or replaced is known to be lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import stat
import time
import weakref
from pathlib import Path

LOCK_POLL_S = 0.01
ANSWERS_WITHIN_S = 3.0
"""A process whose heartbeat is older does not answer: it is stopped, or it hangs."""

_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """An exclusive lock. It is held by one process at most, and by none of the children that it forks.

    Args:
        path: the lock file; its folder exists.
        mode: permissions of a new lock file. A reader's rights are enough to take the lock.
    """

    def __init__(self, path: Path, *, mode: int = 0o600) -> None:
        self.path = path
        self._mode = mode
        self._file: int | None = None

    def __del__(self) -> None:
        self.release()

    @property
    def locked(self) -> bool:
        """Whether this process has taken the lock."""
        return self._file is not None

    def acquire(self, wait_s: float = 0.0) -> bool:
        """Take the lock; False if another process still holds it after ``wait_s``.

        Raises:
            OSError: there can be no lock file here.
        """
        until_s = time.monotonic() + max(wait_s, LOCK_POLL_S)  # is_held may have it for a moment
        while not self.locked:
            file = self._open()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                if time.monotonic() >= until_s:
                    return False
                time.sleep(LOCK_POLL_S)
            else:
                if self._is_at_path(file):
                    self._file = file
                    _held.add(self)
                else:  # it was deleted or replaced meanwhile: another process may lock the new one
                    os.close(file)
        self.beat()
        return True

    def replace(self) -> None:
        """Take the lock from a process that does not answer: by a new file, so that there always is one.

        That process sees that its lock is lost. Raises OSError: no file can be made; the old one stays.
        """
        draft = FileLock(self.path.with_name(f"{self.path.name}.{os.getpid()}"), mode=self._mode)
        draft.acquire()
        draft.path.replace(self.path)
        self._file, draft._file = draft._file, None
        _held.add(self)

    def release(self) -> None:
        """Release the lock, if this process holds it."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    def intact(self) -> bool:
        """Whether the lock is held, and its file is still the one that other processes would lock."""
        return self._file is not None and self._is_at_path(self._file)

    def beat(self) -> None:
        """Show that this process answers."""
        if self._file is not None:
            now_ns = time.monotonic_ns()
            with contextlib.suppress(OSError):  # the file of another user: a reader may lock it, but not this
                os.utime(self._file, ns=(now_ns, now_ns))

    def _open(self) -> int:
        """The lock file, opened without following links, and without waiting for what is no file."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            file = os.open(self.path, flags)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, flags | os.O_CREAT | os.O_EXCL, self._mode))
            file = os.open(self.path, flags)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(f"{self.path} is no file: remove it")
        return file

    def _is_at_path(self, file: int) -> bool:
        try:
            found = self.path.lstat()
        except OSError:
            return False
        held = os.fstat(file)
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)


def heartbeat_age_s(path: Path) -> float:
    """Seconds since the holder of the lock file ``path`` has shown that it answers; inf without a file."""
    try:
        age_s = time.monotonic() - path.lstat().st_mtime_ns / 1e9
    except OSError:
        return math.inf
    return age_s if age_s > -1 else math.inf  # of before a restart of the machine


def answers(path: Path) -> bool:
    """Whether the holder of the lock file ``path`` has shown a moment ago that it answers."""
    return heartbeat_age_s(path) < ANSWERS_WITHIN_S


def is_held(path: Path) -> bool:
    """Whether any process holds the lock file ``path``, whatever it is to this machine's list of processes.

    For a moment this may be the reason why the lock cannot be taken.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(file)
    return False


def _close_in_child() -> None:
    """A forked child closes its copies: with one of them open, the lock would outlive the parent."""
    for lock in tuple(_held):
        with contextlib.suppress(OSError):
            lock.release()


os.register_at_fork(after_in_child=_close_in_child)
