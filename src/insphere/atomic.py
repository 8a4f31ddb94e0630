"""Files and folders that appear whole or not at all, whoever is killed when.

A file is written beside its destination under a name of its own, ``.NAME.0123456789ab.partial``,
and then renamed. A reader therefore sees the old file or the new one, never a part. While a file is
written its writer holds a lock on it, which the system releases however the writer ends; the next
writer of the same file removes what a killed one has left.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from insphere.errors import InsphereError
from insphere.parsing import ParseError, check_path, shown_path

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".partial"
_LONGEST_STEM = 60  # of the name that the temporary one repeats; file systems allow 255 bytes
_ABANDONED_AFTER = 86400.0  # seconds without a change, where there are no locks to look at


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path to write to, whose file becomes `path` when the block ends.

    If the block raises, nothing is left and an older file stays as it is. The folder must exist.

    Parameters
    ----------
    path : pathlib.Path
        The destination.

    Yields
    ------
    pathlib.Path
        An empty file in the same folder, to be overwritten in place.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    clear_abandoned(path)
    partial, held = _new_partial(path)
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        if fcntl is None:  # an open file cannot be renamed there
            os.close(held)
            held = -1
        partial.replace(path)
        _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)
        if held >= 0:
            os.close(held)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8, to a file that appears whole or not at all.

    Missing folders are made.

    Raises
    ------
    OSError
        If the file cannot be written; an older one is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill, which becomes `path` when the block ends.

    If the block raises, nothing is left. The parent must exist, and `path` must not, unless as an
    empty folder.

    Parameters
    ----------
    path : pathlib.Path
        The destination.

    Yields
    ------
    pathlib.Path
        An empty folder beside it.

    Raises
    ------
    OSError
        If the folder cannot be written, or something stands at `path`.
    """
    clear_abandoned(path)
    partial, held = _new_partial(path, folder=True)
    try:
        yield partial
        if fcntl is None:
            if path.is_dir():
                path.rmdir()
        else:
            _sync_folder(partial)
        partial.rename(path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if held >= 0:
            os.close(held)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Let one writer at a time change a folder, where folders can be locked.

    Raises
    ------
    OSError
        If the folder cannot be opened.
    """
    if fcntl is None:
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network folders have no locks
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def write_whole(path: Path, content: bytes | str, what: str = "The figure") -> None:
    """Write a file for a user as `write_atomic` does, or say in one sentence why not.

    Parameters
    ----------
    path : pathlib.Path
        Where to; missing folders are made.
    content : bytes or str
        What to write.
    what : str
        What it is, as the subject of the sentence.

    Raises
    ------
    InsphereError
        If it cannot be written.
    """
    with refusals(what, path):
        write_atomic(path, content)


@contextmanager
def refusals(what: str, path: Path) -> Iterator[None]:
    """Turn an error of the system while `path` is written into one sentence.

    Parameters
    ----------
    what : str
        What is written, as the subject of the sentence: ``"The report"``.
    path : pathlib.Path
        Where to.

    Raises
    ------
    InsphereError
        If an OSError is raised inside.
    """
    try:
        check_path(path)
        yield
    except ParseError as error:
        raise InsphereError(
            f"{what} cannot be written to {shown_path(path)!r}, which {error}; choose another "
            "place."
        ) from error
    except OSError as error:
        raise InsphereError(
            f"{what} cannot be written to {path}: {error.strerror or error}; choose another "
            "place, or make room there."
        ) from error


def clear_abandoned(path: Path) -> None:
    """Remove what killed writers of `path` have left; files being written are left alone."""
    own = re.compile(re.escape(_stem(path)) + r"[0-9a-f]{12}" + re.escape(SUFFIX))
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if own.fullmatch(entry.name) and not entry.is_symlink():
                _remove_if_abandoned(Path(entry.path))


def meant_by(name: str) -> str | None:
    """Return the name of the file that a temporary one was to become; None if it is none."""
    found = re.fullmatch(r"\.(.+)\.[0-9a-f]{12}" + re.escape(SUFFIX), name)
    return None if found is None else found[1]


def _stem(path: Path) -> str:
    return f".{path.name[:_LONGEST_STEM]}."


def _new_partial(path: Path, *, folder: bool = False) -> tuple[Path, int]:
    """Make an empty file or folder that this process alone holds, and open it.

    Another writer may take it for abandoned, and remove it, before it is locked; then a new one is
    made.
    """
    while True:
        partial = path.with_name(f"{_stem(path)}{uuid4().hex[:12]}{SUFFIX}")
        if folder:
            partial.mkdir()
            if fcntl is None:
                return partial, -1
            try:
                held = os.open(partial, os.O_RDONLY)
            except FileNotFoundError:
                continue
        else:
            held = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if _lock(held) and not _is_same(partial, held):
            os.close(held)
            continue
        return partial, held


def _remove_if_abandoned(partial: Path) -> None:
    is_folder = partial.is_dir()
    if fcntl is None:
        if time.time() - partial.stat().st_mtime > _ABANDONED_AFTER:
            _remove(partial, is_folder)
        return
    with suppress(OSError):
        held = os.open(partial, os.O_RDONLY if is_folder else os.O_RDWR | os.O_NONBLOCK)
        try:
            if _lock(held) and _is_same(partial, held):
                _remove(partial, is_folder)
        finally:
            os.close(held)


def _remove(path: Path, is_folder: bool) -> None:
    if is_folder:
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _lock(descriptor: int) -> bool:
    """Take the lock of an open file; return whether it is ours. Some network folders have none."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_same(path: Path, descriptor: int) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a power failure, where folders can be opened for that."""
    if fcntl is None:
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
