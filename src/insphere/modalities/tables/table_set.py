"""Rows of a table with their labels."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from insphere.data.sample_set import SampleSet
from insphere.errors import DataError, SpecError
from insphere.modalities.arrays import SUFFIXES
from insphere.modalities.tables.files import frame_of_arrays, read_frame, usual_label
from insphere.modalities.tables.frame import Frame

ROLES = ("label", "id", "drop")
NORMAL_WORDS = ("normal", "good", "ok", "inlier", "benign", "0", "false", "no", "negative")
MOST_CLASSES = 200


@dataclass(frozen=True, eq=False)
class TableSet(SampleSet):
    """Rows of a table with their labels.

    Parameters
    ----------
    frame : Frame
        The columns that are trained on.
    labels, class_names, name, paths, notes, normal_classes
        See `SampleSet`.
    """

    frame: Frame
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    name: str = "table"
    paths: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    normal_classes: tuple[str, ...] = ()
    is_test: NDArray[np.bool_] | None = None

    def __repr__(self) -> str:
        return (
            f"TableSet({self.name!r}, {len(self)} rows of {len(self.frame.names)} columns, "
            f"{len(self.class_names)} classes)"
        )

    def take(self, index: NDArray[np.int64]) -> Frame:
        """Return the rows at an index."""
        return self.frame.take(index)

    def one_class(self, index: NDArray[np.int64], name: str) -> Self:
        """Return the rows at an index as a set of one class of this name."""
        return type(self)(self.take(index), np.zeros(len(index), np.int64), (name,), self.name)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, values and labels."""
        digest = hashlib.sha256(self.frame.fingerprint.encode())
        digest.update(repr(self.class_names).encode())
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        return digest.hexdigest()


def read_table(source: str, columns: Mapping[str, str]) -> TableSet:
    """Read a CSV or Parquet file with the roles of its columns.

    Parameters
    ----------
    source : str
        Path of the file.
    columns : mapping of str to str
        "label": column with the class of each row, by default one that surely is; "id": column with
        its name; "drop": columns to leave out, separated by commas. A role with a question mark at
        its end, such as "label?", may name a column that is not there.

    Raises
    ------
    DataError, SpecError
        If the file or a column cannot be used.
    """
    path = Path(source)
    if path.suffix.lower() in SUFFIXES:
        frame, label, is_test = frame_of_arrays(path)
    else:
        frame, is_test = read_frame(path), None
        label = usual_label(frame)
    if label is not None and not {"label", "label?"} & set(columns):
        if is_test is None and path.suffix.lower() not in SUFFIXES:
            warnings.warn(
                f"Column {label} is taken for what each row is, and is not trained on: name "
                "another with --label, or rename the column if it is a measurement.",
                stacklevel=2,
            )
        columns = {**columns, "label": label}
    return table_set(frame, columns, name=path.stem, is_test=is_test)


def table_set(
    frame: Frame,
    columns: Mapping[str, str],
    *,
    name: str = "table",
    is_test: NDArray[np.bool_] | None = None,
) -> TableSet:
    """Give columns of a frame their roles; see `read_table`."""
    chosen: dict[str, list[str]] = {}
    for role, named in columns.items():
        if role.removesuffix("?") not in ROLES:
            raise SpecError(f"A column of a table is for {', '.join(ROLES)}, but got {role}.")
        parts = [part.strip() for part in named.split(",")] if "drop" in role else [named]
        if role.endswith("?"):  # remembered from training, where new rows need not have it
            parts = [part for part in parts if part in frame.names]
        chosen.setdefault(role.removesuffix("?"), [part for part in parts if part])
    for part in (part for parts in chosen.values() for part in parts):
        frame.column(part)
    label, key = (next(iter(chosen.get(role, [])), None) for role in ("label", "id"))
    names: tuple[str, ...] = ("rows",)
    labels = np.zeros(len(frame), np.int64)
    if label is not None:
        found = [_class_name(value) for value in frame.column(label)]
        names = tuple(sorted(set(found)))
        if len(names) > MOST_CLASSES:
            raise DataError(
                f"Column {label} has {len(names):,} different values, which are no classes: name "
                "another column with label."
            )
        labels = np.array([names.index(value) for value in found], dtype=np.int64)
    paths = None
    if key is not None:
        paths = tuple("" if v is None else _class_name(v) for v in frame.column(key))
    left = [part for parts in chosen.values() for part in parts]
    normal = tuple(one for one in names if one.lower() in NORMAL_WORDS) if label else ()
    rest = frame.without(left)
    rest.refuse_dates()
    return TableSet(rest, labels, names, name, paths, normal_classes=normal[:1], is_test=is_test)


def _class_name(value: float | str | None) -> str:
    if value is None or value != value:
        return "missing"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
