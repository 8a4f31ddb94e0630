"""The files of a folder or a zip of images, with one interface for both.

Only regular files below the folder are read, not pipes, devices and sockets. Links that lead out of
the folder are followed only on request. Files above the size limit are not read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from insphere.data.limits import limits
from insphere.errors import DataError
from insphere.safe_text import reason

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
    *(".webp", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga"),
)
DIRECTORY_TAIL = 1 << 24  # bytes at the end of a zip: its directory, with every checksum
ENCRYPTED = 1  # flag of an entry of a zip

OUTSIDE = "links out of the folder"
LOOSE = "broken links"
SPECIAL = "pipes, devices and sockets"


class ImageFiles(Protocol):
    """A tree of files that can be listed and read, and whose changes can be noticed."""

    path: Path

    @property
    def names(self) -> Sequence[str]:
        """Paths relative to the top, with forward slashes; without hidden and system folders."""

    @property
    def left_out(self) -> dict[str, int]:
        """Entries that are not files of the tree, by kind."""

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""

    def head(self, name: str, n: int) -> bytes:
        """Return the first bytes of one file, none if it cannot be read."""

    def size(self, name: str) -> int:
        """Return the size of one file as it is stored, in bytes."""

    def signature(self) -> str:
        """Return a digest that changes when the files change."""


def is_image_name(name: str) -> bool:
    """Whether the suffix of a file is that of an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def read_regular(path: Path, n: int | None = None) -> bytes:
    """Read a regular file up to the limit, without waiting for a pipe.

    Parameters
    ----------
    path : Path
        The file.
    n : int, optional
        How many bytes from its beginning; by default all.

    Raises
    ------
    OSError
        If it is no regular file, cannot be read or is larger than ``Limits.max_file_bytes``.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if n is not None:
            return file.read(n)
        most = limits().max_file_bytes
        if found.st_size > most:
            raise OSError(errno.EFBIG, _too_large(found.st_size, most))
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, _too_large(len(content), most))
    return content


_BINARY = getattr(os, "O_BINARY", 0)


def _too_large(size: int, most: int) -> str:
    return f"too large: {size} bytes are more than the {most} allowed (INSPHERE_MAX_FILE_BYTES)"


OF_THE_SYSTEM = frozenset(
    (
        *("__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "@recently-snapshot"),
        *("$recycle.bin", "system volume information", "lost+found"),
    )
)
"""Folders that computers and network drives make themselves: previews, and deleted files."""


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part.lower() in OF_THE_SYSTEM


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of one folder one by one."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:  # not allowed, or gone meanwhile
        raise DataError(f"The folder {folder} cannot be read: {error.strerror}.") from error


class _FilesOnDisk:
    """Files on disk, each opened separately."""

    path: Path

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        return read_regular(self.path / name)

    def head(self, name: str, n: int) -> bytes:
        """Return the first bytes of one file; none if it cannot be read."""
        try:
            return read_regular(self.path / name, n)
        except OSError:
            return b""


class FolderFiles(_FilesOnDisk):
    """Regular files below a folder; links within it are followed, each real folder once.

    Parameters
    ----------
    path : Path
        The folder.
    follow_links : bool
        Whether links that lead out of the folder are followed too.
    """

    def __init__(self, path: Path, *, follow_links: bool = False) -> None:
        self.path = path
        self._follow_links = follow_links

    @cached_property
    def _found(self) -> tuple[list[str], NDArray[np.int64], dict[str, int]]:
        """Sorted names with size and modification time (ns) of each, and entries left out."""
        names: list[str] = []
        stats = array("q")
        left_out: Counter[str] = Counter()
        seen: set[str] = set()
        root = os.path.realpath(self.path)
        most = limits().max_files
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
                try:
                    found = entry.stat()
                except OSError:  # a loop, or a link to nowhere
                    left_out[LOOSE] += 1
                    continue
                outside = entry.is_symlink() and not self._follow_links
                if outside and not _is_below(os.path.realpath(entry.path), root):
                    left_out[OUTSIDE] += 1
                elif stat.S_ISDIR(found.st_mode):
                    pending.append((f"{prefix}{entry.name}/", entry.path))
                elif stat.S_ISREG(found.st_mode):
                    names.append(prefix + entry.name)
                    stats.extend((found.st_size, found.st_mtime_ns))
                else:
                    left_out[SPECIAL] += 1
            if len(names) > most:
                raise DataError(
                    f"{self.path} holds more than {most} files: choose a folder below, or raise "
                    "the environment variable INSPHERE_MAX_FILES."
                )
        order = sorted(range(len(names)), key=names.__getitem__)
        table = np.frombuffer(stats, np.int64).reshape(-1, 2)[order]
        return [names[i] for i in order], table, dict(left_out)

    @property
    def names(self) -> list[str]:
        """Paths relative to the folder."""
        return self._found[0]

    @property
    def left_out(self) -> dict[str, int]:
        """Links and special files that are not read, by kind."""
        return self._found[2]

    def size(self, name: str) -> int:
        """Return the size of one file in bytes."""
        return (self.path / name).stat().st_size

    def signature(self) -> str:
        """Return a digest of the paths, sizes and modification times of all files."""
        digest = hashlib.sha256(str(self.path.resolve()).encode("utf-8", "surrogateescape"))
        names, stats, left_out = self._found
        digest.update(repr(sorted(left_out.items())).encode())
        for name, size, modified in zip(names, stats[:, 0], stats[:, 1], strict=True):
            digest.update(f"{name}\0{size}\0{modified}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


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
        return open_zip(self.path)

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

    @cached_property
    def names(self) -> list[str]:
        """Paths inside the zip."""
        return list(self._members)

    @property
    def left_out(self) -> dict[str, int]:
        """Empty, because a zip contains only files."""
        return {}

    def read(self, name: str) -> bytes:
        """Return the unpacked bytes of one file."""
        info = self._members[name]
        most = limits().max_file_bytes
        if info.file_size > most:
            raise OSError(errno.EFBIG, _too_large(info.file_size, most))
        return self._archive.read(info)

    def head(self, name: str, n: int) -> bytes:
        """Return the first unpacked bytes of one file."""
        try:
            with self._archive.open(self._members[name]) as file:
                return file.read(n)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):
            return b""

    def size(self, name: str) -> int:
        """Return the packed size of one file in bytes."""
        return self._members[name].compress_size

    def signature(self) -> str:
        """Return a digest of path, size, modification time and the zip's own directory."""
        found = self.path.stat()
        place = str(self.path.resolve()).encode("utf-8", "surrogateescape")
        digest = hashlib.sha256(place + f"\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
        with self.path.open("rb") as file:
            file.seek(max(0, found.st_size - DIRECTORY_TAIL))
            digest.update(file.read())
        return digest.hexdigest()


def open_zip(path: Path, what: str = "zip file") -> zipfile.ZipFile:
    """Open a zip, and check its directory against the limits.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What messages call it.

    Raises
    ------
    DataError
        If it is damaged, encrypted, or would unpack to far more than it is large.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError) as error:
        if isinstance(error, PermissionError | FileNotFoundError):
            raise
        raise DataError(f"{path} is not a readable {what}: {reason(error)}.") from error
    bounds, members = limits(), archive.infolist()
    unpacked = sum(info.file_size for info in members)
    if any(info.flag_bits & ENCRYPTED for info in members):
        raise DataError(f"{path} is encrypted: unpack it with its password, and give the folder.")
    if len(members) > bounds.max_files:
        raise DataError(
            f"{path} holds {len(members)} files, more than the {bounds.max_files} allowed: raise "
            "the environment variable INSPHERE_MAX_FILES if it is to be trusted."
        )
    if unpacked > max(bounds.free_bytes, bounds.max_expansion * path.stat().st_size):
        raise DataError(
            f"{path} would unpack to {unpacked} bytes from {path.stat().st_size}, more than "
            f"{bounds.max_expansion} times its size: raise the environment variable "
            "INSPHERE_MAX_EXPANSION if it is to be trusted."
        )
    return archive


class ListedFiles(_FilesOnDisk):
    """Image files given one by one, in any folder; links are followed.

    Parameters
    ----------
    paths : sequence of Path
        The files, in the order in which they are to be read.
    path : Path
        What messages call the list; with one file, its folder.
    """

    def __init__(self, paths: Sequence[Path], path: Path = Path()) -> None:
        self.path = path
        self.names = [os.fspath(one) for one in paths]
        self.left_out: dict[str, int] = {}

    def size(self, name: str) -> int:
        """Return the size of the file in bytes; 0 if it is not there."""
        try:
            return (self.path / name).stat().st_size
        except OSError:
            return 0

    def signature(self) -> str:
        """Return a digest of paths, sizes and modification times."""
        digest = hashlib.sha256(str(self.path.resolve()).encode("utf-8", "surrogateescape"))
        for name in self.names:
            found = (self.path / name).stat()
            text = f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n"
            digest.update(text.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
