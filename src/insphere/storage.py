"""The folders of the cache: location, locks, size and removal.

A shelf is a folder of entries. Each entry is a folder with a lock beside it. The content of an
entry is defined by the module that uses the shelf.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError

if TYPE_CHECKING:
    from filelock import FileLock

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EISDIR),
)


@dataclass(frozen=True)
class CacheInfo:
    """A folder of the cache, its number of entries and its size in bytes."""

    path: Path
    entries: int
    bytes: int


def cache_dir() -> Path:
    """Return the cache folder: ``INSPHERE_CACHE`` if set, else that of the system."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("INSPHERE_CACHE") or user_cache_dir("insphere"))


@dataclass(frozen=True)
class Shelf:
    """Entries of one kind below the cache folder.

    Parameters
    ----------
    name : str
        Name of the folder.
    marker : str
        Name of a file that every entry contains.
    what : str
        What is kept, as the subject of a sentence in the plural: ``"decoded images"``.
    instead : str
        How to work without the cache, to complete "or …".
    stripes : int
        Number of locks of each entry: this many writers can write different parts at a time.
    """

    name: str
    marker: str
    what: str
    instead: str
    stripes: int = 1

    @property
    def path(self) -> Path:
        """The folder of the entries."""
        return cache_dir() / self.name

    def lock(self, key: str, stripe: int = 0) -> FileLock:
        """Return a lock of an entry, for threads and processes."""
        from filelock import FileLock  # exported models read tables where it is not installed

        name = key if self.stripes == 1 else f"{key}-{stripe:x}"
        return FileLock(self.path / f"{name}.lock")

    def entries(self) -> list[Path]:
        """Return the folders of all entries."""
        if not self.path.is_dir():
            return []
        return sorted(marker.parent for marker in self.path.glob(f"*/{self.marker}"))

    def info(self) -> CacheInfo:
        """Return the folder of the entries, their number and their size in bytes."""
        entries = self.entries()
        return CacheInfo(self.path, len(entries), sum(size_of(entry) for entry in entries))

    def remove(self, entry: Path) -> bool:
        """Remove an entry unless it is being written; return whether it was removed."""
        from filelock import Timeout

        try:
            with ExitStack() as held:
                for stripe in range(self.stripes):
                    held.enter_context(self.lock(entry.name, stripe).acquire(timeout=0))
                shutil.rmtree(entry, ignore_errors=True)
                return True
        except Timeout:
            return False

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Turn the errors of a full disk or a read-only folder into one sentence.

        Raises
        ------
        DataError
            In these cases.
        """
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise DataError(
                    f"The disk is full: {self.what} do not fit in {self.path}; make room, or "
                    f"choose another folder with INSPHERE_CACHE, or {self.instead}."
                ) from error
            if error.errno in _REFUSED:
                raise DataError(
                    f"The cache folder {self.path} cannot be written ({error.strerror}): choose "
                    f"another with INSPHERE_CACHE, or {self.instead}."
                ) from error
            raise


_VERIFIED: dict[tuple[Any, ...], str] = {}  # SHA-256 by identity and times of a file
_CHUNK = 1 << 24  # bytes
_TICK = 1.0  # seconds; the clocks of file systems are coarse


# What NumPy raises, beside ValueError and OSError, where a file that says it is an array is none.
ODD_ARRAY = (EOFError, TypeError, OverflowError, SyntaxError, MemoryError, TokenError, LookupError)


def open_array(path: Path) -> NDArray[Any]:
    """Open an array of a ``.npy`` file as a read-only memory map.

    Raises
    ------
    OSError, ValueError
        If it is not a regular file, or holds no array.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would block
        raise ValueError(f"{path} is not a file")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ODD_ARRAY as error:
        raise ValueError(f"{path} holds no array") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} holds no array")
    return array


def array_sha256(array: NDArray[Any], path: Path) -> str:
    """Return the SHA-256 of the values of an array that was opened from a file.

    A file whose size and times have not changed since this process last read it is not read again,
    unless it was then so new that its times could not show a later change.
    """
    about = path.stat()
    identity = (
        *(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns),
        *(array.shape, array.dtype.str),
    )
    if identity in _VERIFIED:
        return _VERIFIED[identity]
    found = values_sha256(array)
    if time.time() - max(about.st_mtime, about.st_ctime) > _TICK:
        _VERIFIED[identity] = found
    return found


def values_sha256(array: NDArray[Any]) -> str:
    """Return the SHA-256 of the values of an array in C order, read in parts."""
    found = hashlib.sha256()
    rows = max(1, _CHUNK // max(1, array[:1].nbytes)) if array.ndim else 1
    for start in range(0, len(array) if array.ndim else 1, rows):
        part = array[start : start + rows] if array.ndim else array
        found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()


def size_of(folder: Path) -> int:
    """Return the size of the files of a folder in bytes; files removed meanwhile count as 0."""
    total = 0
    for file in folder.iterdir():
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total
