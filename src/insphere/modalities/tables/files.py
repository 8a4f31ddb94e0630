"""Tables in files: CSV, Parquet, and arrays of NumPy."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.files import read_regular
from insphere.errors import DataError, require
from insphere.modalities.arrays import POINTS, ROWS, SUFFIXES, holds_rows, read_arrays
from insphere.modalities.tables.frame import Frame, as_frame, check_width
from insphere.modalities.tables.numbers import as_columns, is_missing, is_written_number
from insphere.safe_text import reason

DELIMITED = (".csv", ".tsv")
LABEL_NAMES = (
    "label", "labels", "y", "class", "target", "anomaly", "is_anomaly", "outlier", "is_outlier",
    "fraud", "is_fraud",
)  # fmt: skip
"""Names, in small letters, of a column that says what a row is, if it holds two classes."""
TWO_CLASSES = frozenset({
    "0", "1", "-1", "true", "false", "yes", "no", "normal", "anomaly", "anomalous", "abnormal",
    "inlier", "outlier", "good", "bad", "ok", "fraud", "benign", "attack",
})  # fmt: skip
_COUNTERS = ("", "unnamed: 0")  # as pandas writes the index
_SAMPLE = 65_536  # characters from which the separator is guessed
_LONGEST_CELL = 1 << 20
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def is_table_file(source: str) -> bool:
    """Whether this is surely a table: CSV or Parquet by its name, or an array N×F in a file."""
    path = Path(source)
    return path.suffix.lower() in (*DELIMITED, ".parquet") or holds_rows(path)


def read_frame(path: Path) -> Frame:
    """Read a CSV or Parquet file, or an array of NumPy.

    The first line of a CSV file names the columns. Its separator is a comma, a semicolon, a tab or
    a bar. It is UTF-8, UTF-16 with its mark at the start, or else taken for Windows-1252, which is
    said. A column is one of numbers if each of its values is one (see
    `insphere.modalities.tables.numbers`) or stands for a missing value, else one of texts.

    Of an ``.npz`` file the values are `X` and the labels, if there are any, `y`, as in ADBench;
    see `insphere.modalities.arrays`. Labels become a column of that name.

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
            raise DataError(f"{path} cannot be read as Parquet: {reason(error)}.") from error
        return as_frame(table)
    if path.suffix.lower() in SUFFIXES:
        return frame_of_arrays(path)[0]
    try:
        return _read_csv(path)
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {reason(error)}.") from error


def usual_label(frame: Frame) -> str | None:
    """Return the column that by its name and its values says what each row is; None: none does."""
    for name, values in zip(frame.names, frame.columns, strict=True):
        if name.lower() in LABEL_NAMES:
            present = values[values != None] if values.dtype == object else values  # noqa: E711
            found = {f"{v:g}" if isinstance(v, float) else v.lower() for v in set(present.tolist())}
            if found and len(found) <= 2 and found <= TWO_CLASSES:
                return name
    return None


def text_of(path: Path) -> str:
    """Return the text of a file, with a warning if it is not Unicode.

    Raises
    ------
    DataError
        If it is no text, or too large.
    """
    content = read_regular(path)
    if content[:2] in _UTF_16:
        return content.decode("utf-16", "replace")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None
    if text is None and b"\0" not in content[:_SAMPLE]:
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8: save it as UTF-8.") from error
        warnings.warn(
            f"{path} is not UTF-8 and was read as Windows-1252: save it as UTF-8 if letters are "
            "wrong.",
            stacklevel=2,
        )
    if text is None or "\0" in text[:_SAMPLE]:
        raise DataError(f"{path} is no text file: save the table as CSV in UTF-8.")
    return text


def lines_of(text: str, path: Path) -> tuple[str, list[tuple[int, list[str]]]]:
    """Return the separator of a delimited file, and its lines as numbers and cells.

    Empty lines are left out, and a comment at the start: lines that begin with # and hold fewer
    separators than the next.
    """
    start = 0
    separator = "\t" if path.suffix.lower() == ".tsv" else ""
    while text.startswith("#", start):
        end = text.find("\n", start) + 1
        line, following = text[start:end], text[end : end + _SAMPLE].partition("\n")[0]
        if not end or max(map(line.count, ",;\t|")) >= max(map(following.count, ",;\t|")):
            break
        start = end
    end = text.find("\n", start)
    first = text[start : end if end >= 0 else len(text)]
    separator = separator or max(",;\t|", key=first.count)
    csv.field_size_limit(_LONGEST_CELL)
    check_width(first.count(separator) + 1)
    skipped = text.count("\n", 0, start)
    reader = csv.reader(io.StringIO(text[start:], newline=""), delimiter=separator)
    return separator, [(skipped + reader.line_num, row) for row in reader if row]


def _read_csv(path: Path) -> Frame:
    separator, rows = lines_of(text_of(path), path)
    head = rows[0][1] if rows else []
    if not any(name.strip() for name in head):
        raise DataError(f"{path} is empty: its first line names the columns.")
    names = [name.strip() or f"column {i}" for i, name in enumerate(head)]
    if sum(is_written_number(name) for name in names) > len(names) / 2:
        raise DataError(
            f"The first line of {path} holds numbers and not the names of columns: add a line "
            "with names."
        )
    for number, row in rows[1:]:
        if len(row) != len(names):
            raise DataError(
                f"Line {number} of {path} has {len(row)} values, but the first line "
                f"names {len(names)} columns."
            )
    if len(rows) < 2:
        raise DataError(f"{path} names columns but has no rows.")
    cells = list(zip(*(row for _, row in rows[1:]), strict=True))
    kept = [i for i, c in enumerate(cells) if head[i].strip() or not all(map(is_missing, c))]
    columns = as_columns([cells[i] for i in kept], "." if separator == "," else ",")
    found = Frame(tuple(names[i] for i in kept), columns)
    if head[0].strip().lower() in _COUNTERS and len(kept) > 1 and 0 in kept and _counts(columns[0]):
        warnings.warn(
            f"The first column of {path.name} has no name and numbers the rows: it is left out.",
            stacklevel=2,
        )
        return found.without([found.names[0]])
    return found


def _counts(values: NDArray[Any]) -> bool:
    """Whether these are whole numbers, each above the one before it."""
    if values.dtype != np.float64 or np.isnan(values).any():
        return False
    return bool((values % 1 == 0).all() and (np.diff(values) > 0).all())


def frame_of_arrays(path: Path) -> tuple[Frame, str | None, NDArray[np.bool_] | None]:
    """Return the table of a NumPy file, its column of labels, and which rows are for the test."""
    found = read_arrays(path, (*ROWS, *POINTS))
    values = found["values"]
    check_width(values.shape[1])
    names = [str(n) for n in found.get("names", [f"feature {i}" for i in range(values.shape[1])])]
    columns = [_column(values[:, i]) for i in range(values.shape[1])]
    label = None
    if "labels" in found:
        label = "y" if "y" not in names else "labels"
        names.append(label)
        columns.append(_column(found["labels"]))
    return Frame(tuple(names), tuple(columns)), label, found.get("is_test")


def _column(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind in "US":
        texts = values.astype(str).tolist()
        return np.array([None if is_missing(t) else t for t in texts], dtype=object)
    return np.ascontiguousarray(values, dtype=np.float64)
