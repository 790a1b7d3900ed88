"""A folder of small files, each written whole: on this machine, or on any storage that pyarrow knows."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from zeus_ray.errors import BadInput


class Storage(Protocol):
    """A folder of text files on a local disk or on cloud storage."""

    def names(self) -> list[str]:
        """File names; [] where the folder does not exist."""

    def read(self, name: str) -> str:
        """Text of one file."""

    def write(self, name: str, text: str) -> None:
        """Create or replace one file, whole."""

    def subfolder(self, name: str) -> Storage:
        """The folder ``name`` in this one; it need not exist yet."""


def open_storage(location: str | os.PathLike[str]) -> Storage:
    """The folder at a path or a URI; it need not exist yet.

    Args:
        location: a path, ``file://…``, or a URI that pyarrow can open, such as ``s3://bucket/runs``.

    Raises:
        BadInput: the path is a file, or pyarrow cannot open the URI.
    """
    text = os.fspath(location)
    if "://" not in text:
        return _local_folder(Path(text).expanduser())
    from pyarrow import fs  # noqa: PLC0415 — comes with ray[tune]; only cloud storage needs it

    try:
        filesystem, root = fs.FileSystem.from_uri(text)
    except (ValueError, OSError, NotImplementedError) as error:
        raise BadInput(
            f"{text!r} cannot be opened by pyarrow ({error}); allowed: a path, s3://…, gs://…"
        ) from error
    if isinstance(filesystem, fs.LocalFileSystem):
        return _local_folder(Path(root))
    return StorageFolder(filesystem, root.rstrip("/"))


def _local_folder(path: Path) -> LocalFolder:
    if path.is_file():
        raise BadInput(f"{str(path)!r} is a file; allowed: a folder, which need not exist yet")
    return LocalFolder(path)


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine. A written file survives a crash of the machine."""

    path: Path

    def names(self) -> list[str]:
        """File names; [] where the folder does not exist."""
        return sorted(p.name for p in self.path.iterdir()) if self.path.is_dir() else []

    def read(self, name: str) -> str:
        """Text of one file. Raises OSError; a pipe or a device, which may never end, is not read."""
        opened = os.open(self.path / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(opened, "rb") as file:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise OSError(errno.EINVAL, "not a file", str(self.path / name))
            return file.read().decode()

    def subfolder(self, name: str) -> LocalFolder:
        """The folder ``name`` in this one; it need not exist yet."""
        return LocalFolder(self.path / name)

    def write(self, name: str, text: str) -> None:
        """Create or replace one file, whole; it is on disk when this returns."""
        self.path.mkdir(parents=True, exist_ok=True)
        draft = self.path / _draft_name(name)
        try:
            with draft.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path / name)
        except OSError:  # a full disk: what was written of it is of no use
            draft.unlink(missing_ok=True)
            raise
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)  # else a crash of the machine may undo the renaming
        finally:
            os.close(folder)


@dataclass(frozen=True)
class StorageFolder:
    """A folder on any file system that pyarrow knows: cloud storage, or where Ray Tune keeps a trial."""

    filesystem: Any
    path: str

    def names(self) -> list[str]:
        """File names; [] where the folder does not exist."""
        from pyarrow.fs import FileSelector  # noqa: PLC0415 — comes with ray[tune]; not needed outside it

        found = self.filesystem.get_file_info(FileSelector(self.path, allow_not_found=True))
        return sorted(info.base_name for info in found)

    def read(self, name: str) -> str:
        """Text of one file."""
        with self.filesystem.open_input_stream(f"{self.path}/{name}") as stream:
            return bytes(stream.read()).decode()

    def subfolder(self, name: str) -> StorageFolder:
        """The folder ``name`` in this one; it need not exist yet."""
        return StorageFolder(self.filesystem, f"{self.path}/{name}")

    def write(self, name: str, text: str) -> None:
        """Create or replace one file, whole."""
        self.filesystem.create_dir(self.path, recursive=True)
        draft = f"{self.path}/{_draft_name(name)}"
        with self.filesystem.open_output_stream(draft) as stream:
            stream.write(text.encode())
        self.filesystem.move(draft, f"{self.path}/{name}")


def _draft_name(name: str) -> str:
    """A hidden name that no other writer uses."""
    return f".{name}.{uuid.uuid4().hex[:8]}.draft"
