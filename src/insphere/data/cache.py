"""Decoded images on disk: written once, opened as memory maps, never half-written.

An entry is a folder of ``.npy`` files and a ``meta.json``, named by a digest of the files it was
made from and the options of decoding. It is built in a temporary folder under a lock and renamed
when complete, so that a reader sees all of it or nothing, whoever is killed when.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout
from numpy.typing import NDArray

from insphere.data.files import read_regular
from insphere.storage import CacheInfo, Shelf, cache_dir

__all__ = ["CacheEntry", "CacheInfo", "cache_dir", "cache_info", "cached", "clear_cache"]

FORMAT = 3  # raise when entries change, so that older ones are no longer found
META = "meta.json"
TEMPORARY = ".building-"

SHELF = Shelf(
    name="images",
    marker=META,
    what="decoded images",
    instead="keep decoded images in memory with cache=False",
)


@dataclass(frozen=True)
class CacheEntry:
    """One decoded set: its arrays as read-only memory maps, and what its builder noted."""

    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any]


def cache_key(*what: object) -> str:
    """Return the name of the entry for JSON-like values that say what is decoded and how."""
    return hashlib.sha256(json.dumps([FORMAT, *what]).encode()).hexdigest()[:40]


def cached(key: str, build: Callable[[Path], Mapping[str, Any]]) -> CacheEntry:
    """Return the entry `key`, building it if it is missing or damaged.

    Parameters
    ----------
    key : str
        From `cache_key`.
    build : callable
        Writes ``.npy`` files into the folder that it is given, and returns what else to keep, as
        JSON-like values.

    Raises
    ------
    DataError
        If the disk is full or the cache folder cannot be written.
    """
    folder = SHELF.path / key
    entry = _read(folder)
    if entry is not None:
        return entry
    with SHELF.refusals():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with SHELF.lock(key):
            entry = _read(folder)  # another process may have built it in the meantime
            if entry is None:
                _remove_stale(held=key)
                entry = _build(folder, build)
            return entry


def _read(folder: Path) -> CacheEntry | None:
    """Open an entry, or return None if it is missing or not whole."""
    try:
        content = json.loads(read_regular(folder / META))
        arrays = {}
        for name, (shape, dtype) in content["arrays"].items():
            file = folder / f"{name}.npy"
            if not file.is_file():  # opening a pipe would wait for ever
                return None
            array = np.load(file, mmap_mode="r", allow_pickle=False)
            if list(array.shape) != shape or str(array.dtype) != dtype:
                return None
            arrays[name] = array
        return CacheEntry(arrays, content["meta"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None


def _build(folder: Path, build: Callable[[Path], Mapping[str, Any]]) -> CacheEntry:
    temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{folder.name}-", dir=folder.parent))
    try:
        meta = dict(build(temporary))
        shapes = {}
        for path in sorted(temporary.glob("*.npy")):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            shapes[path.stem] = [list(array.shape), str(array.dtype)]
        with (temporary / META).open("w", encoding="utf-8") as file:
            json.dump({"arrays": shapes, "meta": meta}, file)
            file.flush()
            os.fsync(file.fileno())
        if folder.exists():  # damaged
            shutil.rmtree(folder)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    entry = _read(folder)
    if entry is None:
        raise OSError(errno.EIO, f"the cache entry {folder} could not be read back")
    return entry


def _remove_stale(held: str = "") -> None:
    """Remove temporary folders whose builders are gone: only we, or nobody, hold their locks."""
    for path in SHELF.path.glob(f"{TEMPORARY}*"):
        key = path.name.removeprefix(TEMPORARY).rpartition("-")[0]
        if key == held:
            shutil.rmtree(path, ignore_errors=True)
            continue
        try:
            with SHELF.lock(key).acquire(timeout=0):
                shutil.rmtree(path, ignore_errors=True)
        except Timeout:
            continue


def cache_info() -> CacheInfo:
    """Return where decoded images are kept, and how much of the disk they take.

    Returns
    -------
    CacheInfo
        Folder, number of image sets and size in bytes.
    """
    return SHELF.info()


def clear_cache() -> CacheInfo:
    """Remove all decoded images and what killed processes left behind; downloads stay.

    Entries that another process is building just now are left alone.

    Returns
    -------
    CacheInfo
        What was there before.
    """
    info = SHELF.info()
    if not info.path.is_dir():
        return info
    _remove_stale()
    for path in info.path.iterdir():
        if path.is_dir() and not path.name.startswith(TEMPORARY):
            SHELF.remove(path)
    return info
