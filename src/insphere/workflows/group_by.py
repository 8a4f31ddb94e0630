"""What `--group-by` names: for each sample of a source the group in which it is judged."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.sample_set import SampleSet
from insphere.errors import DataError, SpecError
from insphere.modalities.tables.files import is_table_file, read_frame
from insphere.modalities.tables.table_set import TableSet

HOW = (
    "class, folder (folder:2 is the one above it), TABLE.csv:COLUMN with the names of the files in "
    "the first column, or a column of the table that is read"
)
UNKNOWN = "unknown"


def groups_of(data: SampleSet, group_by: str) -> NDArray[np.str_]:
    """Return the group of each sample of a source.

    Parameters
    ----------
    data : SampleSet
        All samples of the source.
    group_by : str
        "class"; "folder", that holds the file, or "folder:2", the one above it, and so on;
        "TABLE.csv:COLUMN", a table whose first column names files by the ends of their paths; or
        the name of a column, if the source is a table. That column is trained on as the others
        are, unless it is also the label.

    Returns
    -------
    ndarray of str, shape (n,)
        Files that such a table does not name are of the group "unknown".

    Raises
    ------
    SpecError, DataError
        If it names none of these.
    """
    if group_by == "class":
        return np.array(data.class_names)[data.labels]
    name, colon, rest = group_by.partition(":")
    if name == "folder" and (not colon or (rest.isdecimal() and int(rest) > 0)):
        return _folders(data, int(rest or 1))
    table, colon, column = group_by.rpartition(":")
    if colon and is_table_file(table):
        return _of_table(data, Path(table), column)
    if isinstance(data, TableSet):
        return np.array([_name(value) for value in data.frame.column(group_by)])
    raise SpecError(f"Samples are grouped by {HOW}, but got {group_by}.")


def _folders(data: SampleSet, level: int) -> NDArray[np.str_]:
    found = []
    for path in _paths(data):
        parts = PurePosixPath(path).parts
        if len(parts) <= level:
            raise DataError(
                f"{path} does not lie in {level} folders, so that it has no group: count fewer "
                "folders upwards from the file, such as folder:1."
            )
        found.append(parts[-1 - level])
    return np.array(found)


def _of_table(data: SampleSet, table: Path, column: str) -> NDArray[np.str_]:
    frame = read_frame(table)
    values = [_name(value) for value in frame.column(column)]
    files = [str(name).replace("\\", "/") for name in frame.columns[0]]
    known = dict(zip(files, values, strict=True))
    found = [_by_end(path, known) for path in _paths(data)]
    if all(group is None for group in found):
        raise DataError(
            f"{table} names no file of {data.name} in its first column, {frame.names[0]}: give "
            "the ends of their paths there, such as good/001.png."
        )
    return np.array([UNKNOWN if group is None else group for group in found])


def _by_end(path: str, known: dict[str, str]) -> str | None:
    """Return what is known of the longest end of a path."""
    parts = path.replace("\\", "/").split("/")
    return next(
        (known[end] for i in range(len(parts)) if (end := "/".join(parts[i:])) in known), None
    )


def _paths(data: SampleSet) -> tuple[str, ...]:
    if data.paths is None:
        raise DataError(
            f"The samples of {data.name} are no files, so that they have no folders: group them "
            "by class, or give strata to fit in Python."
        )
    return data.paths


def _name(value: Any) -> str:
    if value is None or value != value:
        return UNKNOWN
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
