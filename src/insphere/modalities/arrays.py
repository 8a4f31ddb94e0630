"""Tables and series in NumPy's files: values in one array, perhaps labels in another."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.npz import Arrays, open_npz
from insphere.errors import DataError
from insphere.safe_text import reason
from insphere.storage import open_array

SUFFIXES = (".npz", ".npy")
ROWS = ("X", "x", "data", "features")
"""Names of an array with a row for each sample."""
POINTS = ("values", "value", "series", "signal")
"""Names of an array with a row, or a number, for each point of time."""
TIMES = ("times", "timestamps", "time")
LABELS = ("y", "labels", "label", "targets", "anomaly")
NAMES = ("feature_names", "columns", "channels")

_ODD = (EOFError, TypeError, OverflowError, SyntaxError, MemoryError, LookupError)
_UNREADABLE = (OSError, ValueError, NotImplementedError, zlib.error, zipfile.BadZipFile, *_ODD)

Shapes = dict[str, tuple[int, ...]]


def array_shapes(path: Path) -> Shapes:
    """Return the shape of each array of numbers or texts in a file, from their heads alone.

    The array of an .npy file has the name "". What is damaged is left out.
    """
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return {}
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return {"": _shape(file)}
        found = {}
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    found[name.removesuffix(".npy")] = _shape(file)
        return found
    except (*_UNREADABLE, RuntimeError):
        return {}


def _shape(file: Any) -> tuple[int, ...]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape: tuple[int, ...] = read(file)[0]
    return shape


def holds_rows(path: Path) -> bool:
    """Whether this is surely a table: an array N×F with one of the usual names."""
    shapes = array_shapes(path)
    name = next((n for n in ("", *ROWS, "X_train", "x_train") if n in shapes), None)
    return name is not None and len(shapes[name]) == 2 and "edges" not in shapes


def holds_points(path: Path) -> bool:
    """Whether this is surely a series: one of the usual names, or a single row of numbers."""
    shapes = array_shapes(path)
    if "" in shapes:
        return len(shapes[""]) == 1
    name = next((n for n in POINTS if n in shapes), None)
    return name is not None and len(shapes[name]) in (1, 2)


def read_arrays(path: Path, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read values, and what belongs to them, from an .npz or .npy file.

    Parameters
    ----------
    path : Path
        The file.
    wanted : sequence of str
        Names of the values, the most usual first.

    Returns
    -------
    dict of str to ndarray
        ``values`` (N×F; one number for each sample becomes N×1); ``is_test`` if there are parts for
        training and test; and what there is of ``labels``, ``times`` and ``names``.

    Raises
    ------
    DataError
        If the file is damaged, or holds no such array.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}: check the name.")
    try:
        if path.suffix.lower() == ".npy":
            return {"values": _two_dimensions(np.array(open_array(path)), path)}
        with open_npz(path) as archive:
            return _chosen(archive, path, wanted)
    except DataError:
        raise
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read as arrays: {reason(error)}.") from error


def _chosen(archive: Arrays, path: Path, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    names = list(archive)
    pair = next(
        ((a, b) for a, b in (("X_train", "X_test"), ("x_train", "x_test")) if a in names), None
    )
    name = next((n for n in wanted if n in names), None)
    found: dict[str, NDArray[Any]] = {}
    if pair is not None:
        parts = [_two_dimensions(archive[n], path) for n in pair if n in names]
        if len({part.shape[1] for part in parts}) > 1:
            raise DataError(f"The parts of {path} have different numbers of columns.")
        found["values"] = np.concatenate(parts)
        if len(parts) > 1:
            found["is_test"] = np.repeat([False, True], [len(part) for part in parts])
        own = [n for n in ("y_train", "y_test") if n in names]
        if len(own) == len(parts):
            found["labels"] = np.concatenate([archive[n].reshape(-1) for n in own])
    elif name is not None:
        found["values"] = _two_dimensions(archive[name], path)
    else:
        raise DataError(
            f"{path} holds {', '.join(names[:10]) or 'nothing'}: name the array of values "
            f"{wanted[0]}, and that of labels, if there is one, y."
        )
    for role, usual in (("labels", LABELS), ("times", TIMES), ("names", NAMES)):
        own_name = next((n for n in usual if n in names), None)
        if own_name is not None and role not in found:
            found[role] = archive[own_name].reshape(-1)
    n, width = found["values"].shape
    for role in ("labels", "times"):
        if role in found and len(found[role]) != n:
            raise DataError(f"{path} has {n:,} rows of values but {len(found[role]):,} {role}.")
    if len(found.get("names", ())) != width:
        found.pop("names", None)
    return found


def _two_dimensions(values: NDArray[Any], path: Path) -> NDArray[Any]:
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not values.size:
        raise DataError(
            f"The values in {path} have the shape {values.shape}, and a row of numbers for each "
            "sample is needed."
        )
    if values.dtype.kind not in "iufbUS":
        raise DataError(f"The values in {path} are of type {values.dtype}, not numbers or texts.")
    return values
