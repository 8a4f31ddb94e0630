"""The cache of features on disk: computed once for each image, and found by its pixels.

An entry holds the features of one form, backbone and resolution, in blocks that are complete or not
there: ``NAME.npy`` with one row for each image, then ``NAME.keys.npy`` with the keys of the images.
So an interrupted extraction continues with the next block, and runs share the features of the same
images. NAME is the SHA-256 of both files. A block that was changed is detected when it is used, and
computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from insphere.atomic import atomic_path, write_atomic
from insphere.errors import SpecError
from insphere.fingerprint import row_keys
from insphere.storage import CacheInfo, Shelf, open_array, values_sha256

FORMAT = 2  # increase it if the values change, so that older ones are not found
ABOUT = "about.json"
KEYS = ".keys.npy"
BLOCK = 512  # images
FEWEST_STORED = 64  # least number of new images for a file
LIMIT_VARIABLE = "INSPHERE_FEATURES_GB"
DEFAULT_LIMIT_GB = 20.0

SHELF = Shelf(
    name="features",
    marker=ABOUT,
    what="features",
    instead="compute them each time with cache=False",
    stripes=16,
)
NUMBERS = (np.float16, np.float32)
Rows = NDArray[np.floating[Any]]


class Described(Protocol):
    """A form of features that says what their values depend on."""

    def settings(self) -> dict[str, Any]:
        """Return JSON values."""


class Extracts(Protocol):
    """A frozen network that computes features, such as `insphere.features.Extractor`."""

    def settings(self) -> dict[str, Any]:
        """Return what the values depend on besides sample and form, as JSON values."""

    def __call__(self, samples: NDArray[Any], forms: Sequence[Any], /) -> Sequence[Rows]:
        """Return the features of samples in several forms."""


def limit_bytes() -> int:
    """Return the largest size of all features in bytes: ``INSPHERE_FEATURES_GB``, or 20 GB.

    Raises
    ------
    SpecError
        If the variable is not a number.
    """
    text = os.environ.get(LIMIT_VARIABLE, str(DEFAULT_LIMIT_GB))
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = -1
    if not 0 <= gigabytes < 1e9:
        raise SpecError(f"{LIMIT_VARIABLE} is a number of gigabytes, but is {text!r}.")
    return int(gigabytes * 1e9)


def features_info() -> CacheInfo:
    """Return the folder of the features, the number of entries and their size."""
    return SHELF.info()


def clear_features() -> CacheInfo:
    """Remove all features except those being written; return the state before."""
    info = SHELF.info()
    for entry in SHELF.entries():
        SHELF.remove(entry)
    return info


def features(
    extractor: Extracts,
    images: NDArray[Any],
    forms: Sequence[Described],
    *,
    cache: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[Rows]:
    """Return features of images, from the cache if they are there.

    Parameters
    ----------
    extractor : Extractor, or another one of its shape
        Computes the missing ones.
    images : ndarray, shape (N, H, W, C), or (N,)
        uint8, or float32 between 0 and 1; or texts.
    forms : sequence of Form, or others of its shape
        The forms; all are computed in one pass.
    cache : bool
        Read from the disk and write to it.
    progress : callable, optional
        Called with the number of images done since the last call.

    Returns
    -------
    list of ndarray, N rows each
        One for each form, float16 or float32.

    Raises
    ------
    DataError
        If the disk is full or the cache cannot be written.
    """
    report = progress or (lambda _: None)
    if not cache:
        parts = []
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK]
            parts.append(extractor(block, forms))
            report(len(block))
        return [np.concatenate(part) for part in zip(*parts, strict=True)]
    keys = row_keys(images)
    with SHELF.refusals():
        stores = [_Store(extractor, form) for form in forms]
        fresh = _fill(extractor, images, keys, stores, report)
    return [store.rows(keys, fresh[i]) for i, store in enumerate(stores)]


def _fill(
    extractor: Extracts,
    images: NDArray[Any],
    keys: list[bytes],
    stores: list[_Store],
    report: Callable[[int], None],
) -> list[dict[bytes, Rows]]:
    """Compute and store missing features; return by key those that were not stored."""
    fresh: list[dict[bytes, Rows]] = [{} for _ in stores]
    for store in stores:
        store.verify(keys)
    missing = [not all(key in store for store in stores) for key in keys]
    worth_it = sum(missing) >= FEWEST_STORED
    for start in range(0, len(keys), BLOCK):
        part = range(start, min(start + BLOCK, len(keys)))
        block_keys = [keys[i] for i in part]
        if any(missing[i] for i in part):
            with ExitStack() as held:
                if worth_it:
                    name = hashlib.sha256(b"".join(block_keys)).digest()
                    for store in sorted(stores, key=lambda store: store.folder):
                        held.enter_context(SHELF.lock(store.folder.name, name[0] % SHELF.stripes))
                        store.look()  # another process may have stored some in the meantime
                        store.verify(block_keys)
                rest = [i for i in part if not all(keys[i] in store for store in stores)]
                rest = list({keys[i]: i for i in rest}.values())  # each image once
                if rest:
                    values = extractor(images[rest], [store.form for store in stores])
                    for store, new, rows in zip(stores, fresh, values, strict=True):
                        lacking = [j for j, i in enumerate(rest) if keys[i] not in store]
                        found = [keys[rest[j]] for j in lacking]
                        if lacking and not (worth_it and store.write(found, rows[lacking])):
                            new.update(zip(found, rows[lacking], strict=True))
        report(len(part))
    return fresh


class _Store:
    """One entry of the cache, with the position of the row of each image."""

    def __init__(self, extractor: Extracts, form: Described) -> None:
        self.form = form
        self.about = {"format": FORMAT, **extractor.settings(), **form.settings()}
        text = json.dumps(self.about, sort_keys=True)
        self.folder = SHELF.path / hashlib.sha256(text.encode()).hexdigest()[:40]
        self._place: dict[bytes, tuple[int, int]] = {}
        self._blocks: list[tuple[str, NDArray[np.uint8], Rows]] = []
        self._verified: set[int] = set()
        self._seen: set[str] = set()
        self.look()
        if self._blocks:
            with suppress(OSError):  # a cache that may only be read, or a loop of links
                (self.folder / ABOUT).touch()  # the time of its last use

    def __contains__(self, key: bytes) -> bool:
        return key in self._place

    def look(self) -> None:
        """Open new blocks, and remove damaged ones."""
        if not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob(f"*{KEYS}")):
            name = path.name.removesuffix(KEYS)
            if name in self._seen:
                continue
            self._seen.add(name)
            file = self.folder / f"{name}.npy"
            try:
                keys, rows = np.array(open_array(path)), open_array(file)
                if keys.ndim != 2 or keys.shape != (len(rows), 16) or keys.dtype != np.uint8:
                    raise ValueError("keys that do not fit")
                if rows.dtype not in NUMBERS:
                    raise ValueError("other numbers")
            except (OSError, ValueError):
                self._discard(name)
                continue
            for row, key in enumerate(keys):
                self._place[key.tobytes()] = (len(self._blocks), row)
            self._blocks.append((name, keys, rows))

    def verify(self, keys: Iterable[bytes]) -> None:
        """Remove the blocks of these images that were changed on disk."""
        for block in sorted({self._place[key][0] for key in keys if key in self._place}):
            if block in self._verified:
                continue
            name, own, rows = self._blocks[block]
            if name == _block_name(own, rows):
                self._verified.add(block)
            else:
                self._place = {k: place for k, place in self._place.items() if place[0] != block}
                self._discard(name)

    def _discard(self, name: str) -> None:
        warnings.warn(
            f"Features in the cache ({self.folder / name}) are damaged or were changed, and are "
            "computed again.",
            stacklevel=2,
        )
        self._seen.discard(name)
        for ending in (KEYS, ".npy"):
            file = self.folder / f"{name}{ending}"
            if file.is_dir() and not file.is_symlink():
                shutil.rmtree(file)
            else:
                file.unlink(missing_ok=True)

    def write(self, keys: list[bytes], rows: Rows) -> bool:
        """Store a block completely or not at all; return false if there is no space for it."""
        if not _make_room(rows.nbytes, keep=self.folder):
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        about = self.folder / ABOUT
        if not about.exists():
            write_atomic(about, json.dumps(self.about, indent=1))
        array = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), 16)
        name = _block_name(array, rows)
        _save(self.folder / f"{name}.npy", rows)
        _save(self.folder / f"{name}{KEYS}", array)
        self._seen.discard(name)  # a block of this name with other keys was damaged
        self.look()
        return True

    def rows(self, keys: list[bytes], fresh: dict[bytes, Rows]) -> Rows:
        """Return the rows of these images."""
        first = next(iter(fresh.values())) if fresh else self._blocks[0][2][0]
        out: Rows = np.empty((len(keys), *first.shape), first.dtype)
        by_block: dict[int, list[tuple[int, int]]] = {}
        for position, key in enumerate(keys):
            if key in fresh:
                out[position] = fresh[key]
            else:
                block, row = self._place[key]
                by_block.setdefault(block, []).append((position, row))
        for block, pairs in by_block.items():
            positions, rows = (np.array(side) for side in zip(*pairs, strict=True))
            order = np.argsort(rows)
            out[positions[order]] = self._blocks[block][2][rows[order]]
        return out


def _block_name(keys: NDArray[np.uint8], rows: Rows) -> str:
    form = f"{keys.shape} {rows.shape} {rows.dtype}"
    parts = (form, values_sha256(keys), values_sha256(rows))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _make_room(wanted: int, keep: Path) -> bool:
    """Remove the least recently used entries until `wanted` bytes fit below the limit."""
    limit = limit_bytes()
    size = SHELF.info().bytes
    others = [entry for entry in SHELF.entries() if entry != keep]
    others.sort(key=_last_use)
    for entry in others:
        if size + wanted <= limit:
            break
        if time.time() - _last_use(entry) > 60 and SHELF.remove(entry):  # not one in use just now
            size = SHELF.info().bytes
    return size + wanted <= limit


def _last_use(entry: Path) -> float:
    try:
        return (entry / ABOUT).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)
