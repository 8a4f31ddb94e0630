"""What `--group-by` names: for each sample of a source the group in which it is judged."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from insphere.data.sample_set import SampleSet
from insphere.errors import DataError, SpecError
from insphere.modalities.tables.files import is_table_file
from insphere.modalities.tables.table_set import TableSet
from insphere.workflows.group_table import GroupTable, group_name

HOW = (
    "class, folder (folder:2 is the one above it), TABLE.csv:COLUMN with the names of the files in "
    "another column, or a column of the table that is read"
)


def groups_of(
    data: SampleSet, group_by: str, index: NDArray[np.int64] | None = None
) -> NDArray[np.str_]:
    """Return the group of each sample of a source.

    Of a table of files it is said, as a warning, which files it does not name.

    Parameters
    ----------
    data : SampleSet
        All samples of the source.
    group_by : str
        "class"; "folder", that holds the file, or "folder:2", the one above it, and so on;
        "TABLE.csv:COLUMN", a table that names files by the ends of their paths in another column
        (see `insphere.workflows.group_table.GroupTable.match`); or the name of a column, if the
        source is a table. That column is trained on as the others are, unless it is also the label.
    index : ndarray of int64, shape (n,), optional
        The samples whose groups are wanted; by default all.

    Returns
    -------
    ndarray of str, shape (n,)
        Files that such a table does not name are of the group "unknown".

    Raises
    ------
    SpecError, DataError
        If it names none of these.
    """
    index = np.arange(len(data)) if index is None else index
    if group_by == "class":
        return np.array(data.class_names)[data.labels[index]]
    name, colon, rest = group_by.partition(":")
    if name == "folder" and (not colon or (rest.isdecimal() and int(rest) > 0)):
        return _folders(_paths(data, index), int(rest or 1))
    table, colon, column = group_by.rpartition(":")
    if colon and is_table_file(table):
        return _of_table(_paths(data, index), Path(table), column)
    if isinstance(data, TableSet):
        return np.array([group_name(value) for value in data.frame.column(group_by)[index]])
    raise SpecError(f"Samples are grouped by {HOW}, but got {group_by}.")


def _folders(paths: Sequence[str], level: int) -> NDArray[np.str_]:
    found = []
    for path in paths:
        parts = PurePosixPath(path).parts
        if len(parts) <= level:
            raise DataError(
                f"{path} does not lie in {level} folders, so that it has no group: count fewer "
                "folders upwards from the file, such as folder:1."
            )
        found.append(parts[-1 - level])
    return np.array(found)


def _of_table(paths: Sequence[str], table: Path, column: str) -> NDArray[np.str_]:
    matched = GroupTable.read(table).match(paths)
    groups = matched.groups(column)
    for sentence in matched.sentences(every=False):
        warnings.warn(sentence, stacklevel=2)
    return groups


def _paths(data: SampleSet, index: NDArray[np.int64]) -> list[str]:
    if data.paths is None:
        raise DataError(
            f"The samples of {data.name} are no files, so that they have no folders: group them "
            "by class, or give strata to fit in Python."
        )
    return [data.paths[place] for place in index]
