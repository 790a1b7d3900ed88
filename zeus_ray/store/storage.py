"""A folder of small files, each written whole: on this machine, or on any storage that pyarrow knows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Storage(Protocol):
    """Where a trial's small files live: a local folder, or cloud storage."""

    def names(self) -> list[str]:
        """File names, [] where the folder is not there."""

    def read(self, name: str) -> str:
        """Text of one file."""

    def write(self, name: str, text: str) -> None:
        """Replace one file, whole."""


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine."""

    path: Path

    def names(self) -> list[str]:
        """File names, [] where the folder is not there."""
        return sorted(p.name for p in self.path.iterdir()) if self.path.is_dir() else []

    def read(self, name: str) -> str:
        """Text of one file."""
        return (self.path / name).read_bytes().decode()

    def write(self, name: str, text: str) -> None:
        """Replace one file, whole."""
        self.path.mkdir(parents=True, exist_ok=True)
        draft = self.path / f".{name}.draft"
        with draft.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / name)


@dataclass(frozen=True)
class StorageFolder:
    """A folder on any file system that pyarrow knows: cloud storage, or where Ray Tune keeps a trial."""

    filesystem: Any
    path: str

    def names(self) -> list[str]:
        """File names, [] where the folder is not there."""
        from pyarrow.fs import FileSelector  # noqa: PLC0415 — comes with ray[tune]; not needed outside it

        found = self.filesystem.get_file_info(FileSelector(self.path, allow_not_found=True))
        return sorted(info.base_name for info in found)

    def read(self, name: str) -> str:
        """Text of one file."""
        with self.filesystem.open_input_stream(f"{self.path}/{name}") as stream:
            return bytes(stream.read()).decode()

    def write(self, name: str, text: str) -> None:
        """Replace one file, whole."""
        self.filesystem.create_dir(self.path, recursive=True)
        draft = f"{self.path}/.{name}.draft"
        with self.filesystem.open_output_stream(draft) as stream:
            stream.write(text.encode())
        self.filesystem.move(draft, f"{self.path}/{name}")
