"""Decoded images on disk, which are opened as memory maps.

An entry is a folder of ``.npy`` files and a ``meta.json``, named by a digest of the files it was
made from and the options of decoding. It is built in a temporary folder under a lock and renamed
when complete. So a reader sees all of it or nothing, even if a process is killed. ``meta.json``
contains the SHA-256 of every array and of itself; an entry that differs is decoded again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from insphere.atomic import write_atomic
from insphere.parsing import Limits, ParseError, parse_json, read_regular
from insphere.storage import CacheInfo, Shelf, array_sha256, cache_dir, open_array

__all__ = ["CacheEntry", "CacheInfo", "cache_dir", "cache_info", "cached", "clear_cache"]

FORMAT = 5  # raise when entries change, or what layouts read, so that older ones are not found
META = "meta.json"
TEMPORARY = ".building-"
LIMITS = Limits(bytes=1 << 30, items=50_000_000, depth=20)  # names of millions of images

SHELF = Shelf(
    name="images",
    marker=META,
    what="decoded images",
    instead="keep decoded images in memory with cache=False",
)


@dataclass(frozen=True)
class CacheEntry:
    """One decoded set: its arrays as read-only memory maps, and the notes of its builder."""

    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any]


def cache_key(*what: object) -> str:
    """Return the name of an entry from JSON values that describe the files and the decoding."""
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
            # Another process may have built it in the meantime.
            entry = _read(folder, say_damage=True)
            if entry is None:
                _remove_stale(held=key)
                entry = _build(folder, build)
            return entry


class _Array(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    shape: list[int]
    dtype: str
    sha256: str


class _Meta(BaseModel):
    """The contents of ``meta.json``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    arrays: dict[str, _Array]
    meta: dict[str, Any]
    sha256: str  # of the two others


def _read(folder: Path, *, say_damage: bool = False) -> CacheEntry | None:
    """Open an entry; None if it is missing or any of its bytes has changed."""
    try:
        content = read_regular(folder / META, LIMITS.bytes)
    except (OSError, ParseError):
        return None
    try:
        about = _Meta.model_validate(parse_json(content, LIMITS))
        if about.sha256 != _digest(about.model_dump()):
            raise ValueError("meta.json was changed")
        arrays = {}
        for name, saved in about.arrays.items():
            array = open_array(folder / f"{name}.npy")
            if list(array.shape) != saved.shape or str(array.dtype) != saved.dtype:
                raise ValueError(f"{name} has another shape")
            if array_sha256(array, folder / f"{name}.npy") != saved.sha256:
                raise ValueError(f"{name} was changed")
            arrays[name] = array
    except (OSError, ValueError):  # what pydantic refuses is a ValueError too
        if say_damage:
            warnings.warn(
                f"Decoded images in the cache ({folder}) are damaged or were changed, and are "
                "decoded again.",
                stacklevel=2,
            )
        return None
    return CacheEntry(arrays, about.meta)


def _digest(about: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in about.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _build(folder: Path, build: Callable[[Path], Mapping[str, Any]]) -> CacheEntry:
    temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{folder.name}-", dir=folder.parent))
    try:
        meta = dict(build(temporary))
        arrays = {}
        for path in sorted(temporary.glob("*.npy")):
            array = open_array(path)
            arrays[path.stem] = {
                "shape": list(array.shape),
                "dtype": str(array.dtype),
                "sha256": array_sha256(array, path),
            }
        about = {"arrays": arrays, "meta": meta}
        write_atomic(temporary / META, json.dumps(about | {"sha256": _digest(about)}))
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
    """Remove temporary folders of processes that have ended, whose locks are free."""
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
    """Remove all decoded images and leftovers of killed processes; downloads stay.

    Entries that another process is building now are kept.

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
