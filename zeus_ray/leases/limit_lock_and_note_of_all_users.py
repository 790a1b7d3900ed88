"""One lock per GPU that all users of a node can see, and a note of who has changed its limit.

State folders are private: two users, or one user with two folders, would not know of each other, take each
other's limit for the original one, and restore it. So the right to set a limit also needs the GPU's lock in a
folder that all users share; and whoever changes a limit leaves a note there until it is restored. A note is
never acted on, as anybody can write one: a GPU at a limit of somebody's note is only measured.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from zeus_ray.errors import BadInput
from zeus_ray.leases.file_lock_with_heartbeat import FileLock
from zeus_ray.leases.process import boot_id
from zeus_ray.leases.read_and_replace_files import safe_name
from zeus_ray.leases.write_limit_and_read_back import same_limit
from zeus_ray.records import from_json, to_json

LOCK_DIR_VARIABLE = "ZEUS_RAY_LOCK_DIR"
LOCK_DIRS = ("/var/tmp", "/tmp")  # noqa: S108 — files of other users there are never followed or trusted
"""The first that exists. Both can be written by all users, and none can delete files of others there."""
NOTE_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class LimitNote:
    """What one state folder has changed: the original limit, and the limits that it has set since (W)."""

    uid: int
    folder: str
    original_limit_w: float
    our_limits_w: tuple[float, ...]
    boot_id: str

    def accounts_for(self, limit_w: float) -> bool:
        """Whether a GPU at ``limit_w`` is at a limit that this note's author has still to restore."""
        ours = any(same_limit(limit_w, our_w) for our_w in self.our_limits_w)
        return self.boot_id == boot_id() and ours and not same_limit(limit_w, self.original_limit_w)

    def remedy(self) -> str:
        """Whose limit this is, and what to do."""
        return (
            f"user {self.uid} (state folder {self.folder}) has set it and has still to restore "
            f"{self.original_limit_w:g} W: run `zeus-ray restore` as that user"
        )


class GpuClaim:
    """The right of one state folder to set one GPU's limit, against all other folders and users.

    Args:
        uuid: the GPU.
        folder: the state folder.
        shared: where the locks are (default: ``ZEUS_RAY_LOCK_DIR``, or else :data:`LOCK_DIRS`).
    """

    def __init__(self, uuid: str, folder: Path, shared: Path | None = None) -> None:
        self._shared = shared or lock_dir()
        self._name = f"zeus-ray-{safe_name(uuid)}"
        self._folder = folder
        self._lock = FileLock(self._shared / f"{self._name}.lock", mode=0o644)
        owner = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
        self._note = self._shared / f"{self._name}.{os.geteuid()}-{owner}.note"

    @property
    def held(self) -> bool:
        """Whether this object has the right, and no other process can have it."""
        return self._lock.intact()

    def take(self, wait_s: float = 0.0) -> bool:
        """Take the right; False if another process has it. Raises OSError."""
        if self._lock.locked and not self._lock.intact():
            self._lock.release()
        return self._lock.acquire(wait_s)

    def release(self) -> None:
        """Give the right back."""
        self._lock.release()

    def noted_by_others(self, limit_w: float) -> LimitNote | None:
        """The note of another folder or user that accounts for the limit of now."""
        notes = (note for path, note in self._notes() if path != self._note)
        return next((note for note in notes if note.accounts_for(limit_w)), None)

    def note(self, original_limit_w: float, our_limits_w: tuple[float, ...]) -> None:
        """Tell other users what is changed here; without limits of ours, nothing. Raises OSError."""
        if not our_limits_w:
            with contextlib.suppress(FileNotFoundError):
                self._note.unlink()
            return
        note = LimitNote(
            uid=os.geteuid(),
            folder=str(self._folder),
            original_limit_w=original_limit_w,
            our_limits_w=our_limits_w,
            boot_id=boot_id(),
        )
        draft = self._note.with_suffix(f".draft-{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            os.fchmod(file, 0o644)  # whatever the umask
            os.write(file, to_json(note).encode())
        finally:
            os.close(file)
        draft.replace(self._note)

    def _notes(self) -> Iterator[tuple[Path, LimitNote]]:
        for path in sorted(self._shared.glob(f"{self._name}.*.note")):
            with contextlib.suppress(OSError, BadInput):
                yield path, from_json(LimitNote, _read_regular(path))


def lock_dir(env: Mapping[str, str] = os.environ) -> Path:
    """``ZEUS_RAY_LOCK_DIR``, or else a folder in which all users of the machine can create files."""
    given = env.get(LOCK_DIR_VARIABLE)
    candidates = [Path(path) for path in ([given] if given else LOCK_DIRS)]
    return next((path for path in candidates if path.is_dir()), candidates[0])


def _read_regular(path: Path) -> bytes:
    """The beginning of a file that any user may have made. Raises OSError for what is no file."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(f"{path} is no file")
        return os.read(file, NOTE_SIZE)
    finally:
        os.close(file)
