"""Files and folders that are complete or not there, even if the writer is killed.

A file is written in the same folder under a temporary name, ``.NAME.0123456789ab.partial``, and
then renamed. So a reader sees either the old file or the new one, never a part. The writer holds a
lock on the temporary file. The system releases it when the writer ends or is killed. The next
writer of the same file removes what a killed one has left.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from insphere.errors import InsphereError
from insphere.parsing import ParseError, check_path
from insphere.safe_text import shown_path

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

Content = bytes | str | Iterable[bytes | memoryview]
"""What a file is to hold; pieces, if it is too large to hold twice."""

SUFFIX = ".partial"
_LONGEST_STEM = 60  # bytes of the name in the temporary name; file systems allow 255 in all
_ABANDONED_AFTER = 86400.0  # seconds without a change, if locks are not available


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; its file becomes `path` when the block ends.

    If the block raises an error, nothing is left and an older file is not changed. The folder must
    exist.

    Parameters
    ----------
    path : pathlib.Path
        The destination.

    Yields
    ------
    pathlib.Path
        An empty file in the same folder, to be overwritten.

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


def write_atomic(path: Path, content: Content) -> None:
    """Write a file that is complete or not there: bytes, whole or in pieces, or text as UTF-8.

    Missing folders are created.

    Raises
    ------
    OSError
        If the file cannot be written; an older one is then not changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        whole = content.encode() if isinstance(content, str) else content
        with partial.open("wb") as file:
            for piece in (whole,) if isinstance(whole, bytes) else whole:
                file.write(piece)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; it becomes `path` when the block ends.

    If the block raises an error, nothing is left. The parent must exist. `path` must not exist, or
    be an empty folder.

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
        If the folder cannot be written, or `path` exists.
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
    """Let one writer at a time change a folder, if the system can lock folders.

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
    """Write a file as `write_atomic` does; errors become one sentence for the user.

    Parameters
    ----------
    path : pathlib.Path
        The file; missing folders are created.
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
        The destination.

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
    """Remove what killed writers of `path` have left; files being written are kept."""
    own = re.compile(re.escape(_stem(path)) + r"[0-9a-f]{12}" + re.escape(SUFFIX))
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if own.fullmatch(entry.name) and not entry.is_symlink():
                _remove_if_abandoned(Path(entry.path))


def meant_by(name: str) -> str | None:
    """Return the final name of a temporary file; None for other files."""
    found = re.fullmatch(r"\.(.+)\.[0-9a-f]{12}" + re.escape(SUFFIX), name)
    return None if found is None else found[1]


def _stem(path: Path) -> str:
    return f".{path.name[:_LONGEST_STEM]}."


def _new_partial(path: Path, *, folder: bool = False) -> tuple[Path, int]:
    """Create, open and lock an empty temporary file or folder.

    Before it is locked, another writer may remove it as abandoned; then a new one is created.
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
    """Lock an open file, and return whether this succeeded. Some network folders have no locks."""
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
    """Make a rename survive a power failure, if the system can open folders."""
    if fcntl is None:
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
