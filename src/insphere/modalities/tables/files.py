"""Tables in files: CSV and Parquet."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError, require
from insphere.modalities.tables.frame import Frame, as_frame, check_width
from insphere.parsing import is_number

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "nil"})
"""What stands for a missing value in a CSV file, in small letters."""
SUFFIXES = (".csv", ".tsv", ".parquet")
_SAMPLE = 65_536  # characters from which the separator is guessed
_LONGEST_CELL = 1 << 20


def is_table_file(source: str) -> bool:
    """Whether the name is that of a CSV or Parquet file."""
    return Path(source).suffix.lower() in SUFFIXES


def read_frame(path: Path) -> Frame:
    """Read a CSV or Parquet file.

    The first line of a CSV file names the columns. Its separator is a comma, a semicolon, a tab or
    a bar. A column is one of numbers if each of its values is one or stands for a missing value
    (`MISSING`), else one of texts.

    Raises
    ------
    DataError
        If the file cannot be read, or its lines do not have as many values as its head.
    MissingExtraError
        If it is a Parquet file and pyarrow is not installed.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}: check the name.")
    if path.suffix.lower() == ".parquet":
        parquet = require("pyarrow.parquet", "parquet", "Reading Parquet")
        try:
            table = parquet.read_table(path)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read as Parquet: {error}.") from error
        return as_frame(table)
    try:
        return _read_csv(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: save it as UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}.") from error


def _read_csv(path: Path) -> Frame:
    csv.field_size_limit(_LONGEST_CELL)
    with path.open(newline="", encoding="utf-8-sig") as file:
        sample = file.read(_SAMPLE)
        file.seek(0)
        reader = csv.reader(file, delimiter=_separator(sample, path))
        head = next(reader, None)
        if not head or not any(name.strip() for name in head):
            raise DataError(f"{path} is empty: its first line names the columns.")
        check_width(len(head))
        names = [name.strip() or f"column {i}" for i, name in enumerate(head)]
        if sum(is_number(name) for name in names) > len(names) / 2:
            raise DataError(
                f"The first line of {path} holds numbers and not the names of columns: add a line "
                "with names."
            )
        cells: list[list[str]] = [[] for _ in names]
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise DataError(
                    f"Line {reader.line_num} of {path} has {len(row)} values, but the first line "
                    f"names {len(names)} columns."
                )
            for values, cell in zip(cells, row, strict=True):
                values.append(cell)
    if not cells[0]:
        raise DataError(f"{path} names columns but has no rows.")
    return Frame(tuple(names), tuple(map(_column, cells)))


def _separator(sample: str, path: Path) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    first = sample.partition("\n")[0]
    return max(",;\t|", key=first.count)


def _column(cells: list[str]) -> NDArray[np.float64] | NDArray[np.object_]:
    try:
        return np.array([_number(cell) for cell in cells])
    except ValueError:
        texts = [cell.strip() for cell in cells]
        return np.array([None if t.lower() in MISSING else t for t in texts], dtype=object)


def _number(cell: str) -> float:
    try:
        return float(cell) if "_" not in cell else _refuse()
    except ValueError:
        if cell.strip().lower() in MISSING:
            return float("nan")
        raise


def _refuse() -> float:
    raise ValueError("1_000 is a text")
