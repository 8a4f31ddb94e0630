"""The files of an image folder, or of a zip that holds one, behind the same three calls."""

from __future__ import annotations

import hashlib
import os
import zipfile
from array import array
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
    *(".webp", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga"),
)
LARGEST_MEMBER = 1 << 29  # bytes of one unpacked image
DIRECTORY_TAIL = 1 << 24  # bytes at the end of a zip: its directory, with every checksum


class ImageFiles(Protocol):
    """A tree of files that can be listed, read and told from an older version of itself."""

    path: Path

    @property
    def names(self) -> list[str]:
        """Paths relative to the top, with forward slashes; hidden files are left out."""

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""

    def size(self, name: str) -> int:
        """Return the size of one file as it is stored, in bytes."""

    def signature(self) -> str:
        """Return a digest that changes when the files change."""


def is_image_name(name: str) -> bool:
    """Tell by its suffix whether a file is meant to be an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of one folder, never holding all of them."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except PermissionError as error:
        raise DataError(f"The folder {folder} may not be read: {error.strerror}.") from error


class FolderFiles:
    """Files below a folder; linked folders are followed, each real folder once.

    Parameters
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _found(self) -> tuple[list[str], NDArray[np.int64]]:
        """Names in order, and the size and time of change (ns) of each."""
        names: list[str] = []
        stats = array("q")
        seen: set[str] = set()
        pending = [("", str(self.path))]
        while pending:
            prefix, folder = pending.pop()
            real = os.path.realpath(folder)
            if real in seen:
                continue
            seen.add(real)
            for entry in _entries(folder):
                if _is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    pending.append((f"{prefix}{entry.name}/", entry.path))
                elif entry.is_file():
                    stat = entry.stat()
                    names.append(prefix + entry.name)
                    stats.extend((stat.st_size, stat.st_mtime_ns))
        order = sorted(range(len(names)), key=names.__getitem__)
        return [names[i] for i in order], np.frombuffer(stats, np.int64).reshape(-1, 2)[order]

    @property
    def names(self) -> list[str]:
        """Paths relative to the folder."""
        return self._found[0]

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        return (self.path / name).read_bytes()

    def size(self, name: str) -> int:
        """Return the size of one file in bytes."""
        return (self.path / name).stat().st_size

    def signature(self) -> str:
        """Return a digest of the paths, sizes and modification times of all files."""
        digest = hashlib.sha256(str(self.path.resolve()).encode())
        names, stats = self._found
        for name, size, modified in zip(names, stats[:, 0], stats[:, 1], strict=True):
            digest.update(f"{name}\0{size}\0{modified}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


class ZipFiles:
    """Files inside a zip, read without unpacking it to disk; safe to read from several threads.

    Entries whose names are absolute or climb out of the archive are left out.

    Parameters
    ----------
    path : Path
        The zip file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise DataError(f"{self.path} is not a readable zip file: {error}.") from error

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        members = {}
        for info in self._archive.infolist():
            name = info.filename.replace("\\", "/")
            parts = name.split("/")
            outside = name.startswith("/") or ".." in parts or ":" in parts[0]
            if not (info.is_dir() or outside or any(map(_is_hidden, parts))):
                members[name] = info
        return dict(sorted(members.items()))

    @property
    def names(self) -> list[str]:
        """Paths inside the zip."""
        return list(self._members)

    def read(self, name: str) -> bytes:
        """Return the unpacked bytes of one file."""
        info = self._members[name]
        if info.file_size > LARGEST_MEMBER:
            raise OSError(f"unpacks to {info.file_size} bytes, more than an image may have")
        return self._archive.read(info)

    def size(self, name: str) -> int:
        """Return the packed size of one file in bytes."""
        return self._members[name].compress_size

    def signature(self) -> str:
        """Return a digest of path, size, modification time and the zip's own directory."""
        stat = self.path.stat()
        digest = hashlib.sha256(
            f"{self.path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode()
        )
        with self.path.open("rb") as file:
            file.seek(max(0, stat.st_size - DIRECTORY_TAIL))
            digest.update(file.read())
        return digest.hexdigest()


class SingleFile:
    """One image file, as a tree of itself alone.

    Parameters
    ----------
    path : Path
        The image file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.parent
        self.names = [path.name]

    def read(self, name: str) -> bytes:
        """Return the bytes of the file."""
        return (self.path / name).read_bytes()

    def size(self, name: str) -> int:
        """Return the size of the file in bytes."""
        return (self.path / name).stat().st_size

    def signature(self) -> str:
        """Return a digest of path, size and modification time."""
        stat = (self.path / self.names[0]).stat()
        text = f"{self.path.resolve()}\0{self.names[0]}\0{stat.st_size}\0{stat.st_mtime_ns}"
        return hashlib.sha256(text.encode()).hexdigest()
