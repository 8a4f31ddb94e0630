"""A table that says of each file to which group it belongs: its shift, camera or product."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import commonpath, dirname
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from insphere.atomic import write_atomic
from insphere.errors import DataError
from insphere.modalities.tables.files import read_frame
from insphere.modalities.tables.frame import Frame

UNKNOWN = "unknown"
"""The group of files that a table does not name."""
GROUPS = "groups.csv"
"""The file of a table that is kept beside photos."""
MOST_GROUPS = 50
"""Groups of a column that is offered to a person."""
FILE, NAME = "file", "name"
"""Columns of tables that are written here: where a file lies, and what it was called before."""
_SHOWN = 3  # names in a sentence
_MOST_OFFERED = 20  # columns


@dataclass(frozen=True, eq=False)
class GroupTable:
    """A table that was read.

    Parameters
    ----------
    frame : Frame
        Its columns.
    called : str
        Its name, for messages.
    """

    frame: Frame
    called: str

    @classmethod
    def read(cls, path: Path, called: str | None = None) -> Self:
        """Read a CSV or Parquet file; see `insphere.modalities.tables.files.read_frame`.

        Parameters
        ----------
        path : pathlib.Path
            The file.
        called : str, optional
            Its name in messages; by default its path.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        name = str(path) if called is None else called
        try:
            return cls(read_frame(path), name)
        except DataError as error:
            raise DataError(str(error).replace(str(path), name)) from error

    def match(self, paths: Sequence[str]) -> Matched:
        """Find the rows of files.

        The files are named by the column in which most rows have the name of one of them. A row
        belongs to a file if one of both paths is the end of the other. If rows name ends of
        different length, the longest counts.

        Parameters
        ----------
        paths : sequence of str
            Of the files.

        Raises
        ------
        DataError
            If no column names any of them.
        """
        paths = [_slashes(path) for path in paths]
        own = {_last(path) for path in paths}
        frame = self.frame
        texts = [
            (name, [_slashes(str(value or "")) for value in values])
            for name, values in zip(frame.names, frame.columns, strict=True)
            if values.dtype == object
        ]
        counts = [sum(_last(value) in own for value in values) for _, values in texts]
        if not any(counts):
            raise DataError(
                f"{self.called} names none of the {len(paths):,} files: one of its columns has to "
                "hold their names, such as 001.png or good/001.png."
            )
        column, names = texts[int(np.argmax(counts))]
        by_name: dict[str, list[int]] = {}
        by_last: dict[str, list[str]] = {}
        for row, name in enumerate(names):
            if name not in by_name:
                by_last.setdefault(_last(name), []).append(name)
            by_name.setdefault(name, []).append(row)
        found = [_names_of(path, by_name, by_last) for path in paths]
        used = Counter(name for these in found for name in these)
        return Matched(
            self,
            column,
            tuple(paths),
            tuple(tuple(row for name in these for row in by_name[name]) for these in found),
            unmatched=tuple(name for name in by_name if name and not used[name]),
            shared=tuple(name for name, count in used.items() if count > 1),
        )


@dataclass(frozen=True, eq=False)
class Matched:
    """The rows of files in a table.

    Parameters
    ----------
    table : GroupTable
        The table.
    named_by : str
        The column that names the files.
    paths : tuple of str
        The files.
    rows : tuple of tuple of int
        Positions of the rows of each file; none for one that the table does not name.
    unmatched : tuple of str
        Names in the table that are those of no file.
    shared : tuple of str
        Names in the table that stand for several files.
    """

    table: GroupTable
    named_by: str
    paths: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    unmatched: tuple[str, ...]
    shared: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The columns that can say the group."""
        return [name for name in self.table.frame.names if name != self.named_by]

    def groups(self, column: str) -> NDArray[np.str_]:
        """Return the group of each file by a column, `UNKNOWN` where the table says none.

        Raises
        ------
        DataError
            If there is no such column, it names the files, or rows of one file say different
            groups.
        """
        values = [group_name(value) for value in self.table.frame.column(column)]
        if column == self.named_by:
            raise DataError(
                f"The column {column} of {self.table.called} names the files: name the one that "
                "says their groups."
            )
        found = []
        for path, rows in zip(self.paths, self.rows, strict=True):
            said = sorted({values[row] for row in rows} - {UNKNOWN})
            if len(said) > 1:
                raise DataError(
                    f"{self.table.called} has {len(rows)} rows for {path}, which say different "
                    f"groups ({_listed(said)}): keep one of them."
                )
            found.append(said[0] if said else UNKNOWN)
        return np.array(found)

    def sentences(self, plural: str = "files", *, every: bool = True) -> list[str]:
        """Say which files have no row or several, and which names are those of none or several.

        Parameters
        ----------
        plural : str
            What the files are.
        every : bool
            Whether names of no file are of interest even if each file has a row, because the table
            was made for exactly these files.
        """
        unnamed = [path for path, rows in zip(self.paths, self.rows, strict=True) if not rows]
        n = len(self.paths)
        twice = [path for path, rows in zip(self.paths, self.rows, strict=True) if len(rows) > 1]
        called, said = self.table.called, []
        if unnamed:
            have, count = ("has", "counts") if len(unnamed) == 1 else ("have", "count")
            said.append(
                f"{len(unnamed):,} of the {n:,} {plural} {have} no row in {called} and {count} as "
                f"the group {UNKNOWN}: {_listed(unnamed)}."
            )
        if self.unmatched and (every or unnamed):
            names = "name belongs" if len(self.unmatched) == 1 else "names belong"
            said.append(
                f"{len(self.unmatched):,} {names} to none of the {n:,} {plural}: "
                f"{_listed(self.unmatched)}."
            )
        if self.shared:
            names = "name stands" if len(self.shared) == 1 else "names stand"
            said.append(
                f"{len(self.shared):,} {names} for several {plural} in different folders: "
                f"{_listed(self.shared)}. Write the folders into {called} too, if their groups "
                "differ."
            )
        if twice:
            have = "has" if len(twice) == 1 else "have"
            said.append(
                f"{len(twice):,} of the {n:,} {plural} {have} several rows in {called}, which say "
                f"the same: {_listed(twice)}."
            )
        return said


def group_name(value: Any) -> str:
    """Return the name of the group that a cell says; `UNKNOWN` if it is empty.

    Examples
    --------
    >>> group_name(3.0), group_name("day"), group_name(None)
    ('3', 'day', 'unknown')
    """
    if value is None or value != value:
        return UNKNOWN
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def one_group(groups: Iterable[str], plural: str) -> str | None:
    """Return a sentence if all samples whose group is known are of one, else None."""
    names = set(groups)
    names -= {UNKNOWN} if len(names) > 1 else set()
    if len(names) != 1:
        return None
    return (
        f"The {plural} are of one group only, {names.pop()}, so there is nothing to compare it "
        "with: name something in which they differ."
    )


@dataclass(frozen=True)
class OfferedGroups:
    """What a table says of some files, for a person who chooses a column.

    Parameters
    ----------
    columns : dict of str to tuple of str, or str
        For each column the group of each file, or a sentence that says why it cannot be used.
    sentences : tuple of str
        See `Matched.sentences`.
    """

    columns: Mapping[str, tuple[str, ...] | str]
    sentences: tuple[str, ...]

    @property
    def usual(self) -> str:
        """The first column that can be used; "" if there is none."""
        return next((name for name, said in self.columns.items() if not isinstance(said, str)), "")


def offered_groups(path: str, called: str, names: Sequence[str], plural: str) -> OfferedGroups:
    """Read a table of groups, and say what each of its columns would mean.

    Parameters
    ----------
    path : str
        The file.
    called : str
        Its name, for messages.
    names : sequence of str
        Of the files.
    plural : str
        What they are.

    Raises
    ------
    DataError
        If it cannot be read, names none of the files, or has no other column.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matched = GroupTable.read(Path(path), called).match(names)
    if not matched.columns:
        raise DataError(
            f"{called} has no column but {matched.named_by}: add one that says the groups."
        )
    columns = {name: _offered(matched, name, plural) for name in matched.columns[:_MOST_OFFERED]}
    return OfferedGroups(columns, tuple(matched.sentences(plural)))


def _offered(matched: Matched, column: str, plural: str) -> tuple[str, ...] | str:
    try:
        groups = tuple(matched.groups(column).tolist())
    except DataError as error:
        return str(error)
    if (n := len(set(groups))) > MOST_GROUPS:
        return (
            f"The column {column} has {n:,} groups, and at most {MOST_GROUPS} are counted: join "
            "some of them."
        )
    return one_group(groups, plural) or groups


def write_groups(target: Path, column: str, rows: Iterable[tuple[str, str, str]]) -> str:
    """Write a table of groups that `GroupTable` reads; return the name of its column.

    Parameters
    ----------
    target : pathlib.Path
        The file.
    column : str
        What the groups are, such as shift.
    rows : iterable of (str, str, str)
        Where each file lies, what it was called before, and its group. Files without a group are
        left out, and folders in which all of them were before.
    """
    known = [row for row in rows if row[2] != UNKNOWN]
    above = commonpath([dirname(name) for _, name, _ in known]) if known else ""
    title = re.sub(r"[^\w .()-]+", "-", column).strip()[:60]
    title = "group" if title.lower() in ("", FILE, NAME) else title
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((FILE, NAME, title))
    for path, name, group in known:
        writer.writerow((path, name.removeprefix(f"{above}/"), group))
    write_atomic(target, file.getvalue())
    return title


def _names_of(
    path: str, by_name: Mapping[str, Any], by_last: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the names in a table that are those of a file."""
    parts = path.split("/")
    ends = ("/".join(parts[i:]) for i in range(len(parts)))
    longest = next((end for end in ends if end in by_name), None)
    if longest is not None:
        return [longest]
    return [name for name in by_last.get(parts[-1], ()) if name.endswith("/" + path)]


def _slashes(path: str) -> str:
    return path.replace("\\", "/").removeprefix("./")


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:80] for name in names[:_SHOWN])
    return f"{shown}, …" if len(names) > _SHOWN else shown
