"""Texts in files: JSON lines, CSV columns, and plain files with one text a line."""

from __future__ import annotations

import csv
import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

import numpy as np

from insphere.data.limits import limits
from insphere.errors import DataError, SpecError, did_you_mean
from insphere.modalities.texts.text_set import TextSet
from insphere.safe_text import reason

JSON_LINES = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv")
LINES = (".txt",)
SUFFIXES = (*JSON_LINES, *TABLES, *LINES)

TEXT_FIELDS = ("text", "message", "sentence", "content", "body", "document")
"""Names under which a text is looked for, the first that is there, unless one is given."""

LABEL_FIELDS = ("anomaly", "label")
"""Names of fields that are taken for the label unless another is named."""

ROLES = ("text", "label")
LONGEST = 100_000
"""Characters of one text; a longer one is a document and belongs into pieces."""

_LONGEST_LINE = 1 << 22  # bytes
_HEAD = 1 << 16
_BINARY = getattr(os, "O_BINARY", 0)
_NORMAL_WORDS = {"0": 0, "false": 0, "1": 1, "true": 1}


def looks_like_texts(source: str) -> bool:
    """Whether a path is surely one of texts: a .txt file, or JSON lines with a text field."""
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in (*JSON_LINES, *LINES) or not path.is_file():
        return False
    if suffix in LINES:
        return True
    try:
        with _opened(path) as file:
            first = json.loads(file.readline(_HEAD))
    except (OSError, ValueError):
        return False
    return isinstance(first, str) or (
        isinstance(first, dict) and any(isinstance(first.get(n), str) for n in TEXT_FIELDS)
    )


def read_texts(source: str, columns: Mapping[str, str]) -> TextSet:
    """Read a file of texts.

    Parameters
    ----------
    source : str
        A ``.jsonl`` file (an object with a text field, or a string, on each line), a ``.csv`` or
        ``.tsv`` file with a head, or a ``.txt`` file with one text on each line.
    columns : mapping
        The fields for the roles "text" and "label"; by default the first of `TEXT_FIELDS` and
        `LABEL_FIELDS` that is there.

    Raises
    ------
    DataError
        If the file cannot be read, is not UTF-8, or a text is missing, empty or too long.
    SpecError
        If there is no such role.
    """
    for role in columns:
        if role not in ROLES:
            hint = did_you_mean(role, ROLES, "texts know the roles text and label.")
            raise SpecError(f"There is no role {role!r} for a field of texts; {hint}")
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(
            f"{source} is no file of texts: give .jsonl, .csv or .tsv, or .txt with one text a "
            "line."
        )
    rows = _from_lines if suffix in LINES else _from_json if suffix in JSON_LINES else _from_table
    texts: list[str] = []
    labels: list[str | None] = []
    try:
        with _opened(path) as file:
            for place, text, label in rows(file, path, columns):
                texts.append(checked(text, f"Line {place:,} of {path}"))
                labels.append(label)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: save it as UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV: {reason(error)}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not texts:
        raise DataError(f"{path} holds no texts: put one on each line.")
    return _labelled(as_texts(texts), labels, path)


def checked(text: str, place: str) -> str:
    """Return a text, or refuse it; halves of surrogate pairs, which JSON can hold, are replaced.

    Raises
    ------
    DataError
        If it is empty or longer than `LONGEST`.
    """
    if not text.strip():
        raise DataError(f"{place} is an empty text: leave it out.")
    if len(text) > LONGEST:
        raise DataError(
            f"{place} is a text of {len(text):,} characters, and at most {LONGEST:,} are read: cut "
            "it into pieces, such as paragraphs."
        )
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_texts(texts: list[str]) -> Any:
    """Return texts as an array of objects, shape (N,)."""
    found = np.empty(len(texts), dtype=object)
    found[:] = texts
    return found


def _opened(path: Path) -> IO[bytes]:
    """Open a regular file below the limit of size, never waiting for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    file = os.fdopen(descriptor, "rb")
    about = os.fstat(descriptor)
    if stat.S_ISREG(about.st_mode) and about.st_size <= limits().max_file_bytes:
        return file
    file.close()
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    raise OSError(errno.EFBIG, f"it is larger than {limits().max_file_bytes:,} bytes")


def _lines(file: IO[bytes], path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise DataError(
                f"Line {number:,} of {path} is longer than {_LONGEST_LINE:,} bytes: put one text "
                "on each line."
            )
        yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")


Row = tuple[int, str, str | None]


def _from_lines(file: IO[bytes], path: Path, columns: Mapping[str, str]) -> Iterator[Row]:
    if columns:
        raise DataError(f"{path} is plain text and has no fields: leave out --label and --column.")
    for number, line in _lines(file, path):
        if line.strip():
            yield number, line, None


def _from_json(file: IO[bytes], path: Path, columns: Mapping[str, str]) -> Iterator[Row]:
    for number, line in _lines(file, path):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"Line {number:,} of {path} is no JSON: put one object such as "
                '{"text": "…"} on each line.'
            ) from error
        if isinstance(found, str) and not columns:
            yield number, found, None
            continue
        if not isinstance(found, dict):
            raise DataError(
                f'Line {number:,} of {path} holds no object with fields, such as {{"text": "…"}}.'
            )
        names = list(found)
        text = found[_field(names, "text", columns, TEXT_FIELDS, f"Line {number:,} of {path}")]
        if not isinstance(text, str):
            raise DataError(f"Line {number:,} of {path} holds no text but {_kind(text)}.")
        label = _label_field(names, columns, f"Line {number:,} of {path}")
        yield number, text, None if label is None else _word(found[label])


def _from_table(file: IO[bytes], path: Path, columns: Mapping[str, str]) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_LINE)
    with TextIOWrapper(file, encoding="utf-8-sig", newline="") as lines:
        first = lines.readline(_HEAD)
        lines.seek(0)
        mark = "\t" if path.suffix.lower() == ".tsv" else max(",;\t|", key=first.count)
        reader = csv.reader(lines, delimiter=mark)
        names = [name.strip() for name in next(reader, [])]
        text = names.index(_field(names, "text", columns, TEXT_FIELDS, str(path)))
        name = _label_field(names, columns, str(path))
        label = None if name is None else names.index(name)
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise DataError(
                    f"Line {reader.line_num:,} of {path} has {len(row)} values, but the first line "
                    f"names {len(names)} columns."
                )
            yield reader.line_num, row[text], None if label is None else row[label].strip()


def _field(
    names: list[str], role: str, columns: Mapping[str, str], usual: tuple[str, ...], place: str
) -> str:
    known = ", ".join(names[:10]) or "none"
    if role in columns:
        if columns[role] not in names:
            raise DataError(f"{place} has no field {columns[role]!r}; its fields are: {known}.")
        return columns[role]
    found = next((name for name in usual if name in names), None)
    if found is None:
        raise DataError(
            f"{place} has no field {usual[0]!r}: name the field of the texts with --column "
            f"text=NAME; its fields are: {known}."
        )
    return found


def _label_field(names: list[str], columns: Mapping[str, str], place: str) -> str | None:
    if "label" in columns:
        return _field(names, "label", columns, (), place)
    return next((name for name in LABEL_FIELDS if name in names), None)


def _word(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (bool, int, float, list, dict)) else str(value)


def _kind(value: Any) -> str:
    kinds = {type(None): "null", bool: "true or false", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")


def _labelled(texts: Any, labels: list[str | None], path: Path) -> TextSet:
    """Return texts with classes; labels 0 and 1 are taken for normal and anomalous."""
    name = path.name
    found = sorted({label for label in labels if label is not None})
    if not found:
        return TextSet(texts, np.zeros(len(texts), np.int64), ("normal",), name=name)
    if None in labels:
        raise DataError(
            f"Text {labels.index(None) + 1:,} of {path} has no label, but others have: give all "
            "of them one, or none."
        )
    if set(map(str.lower, filter(None, found))) <= set(_NORMAL_WORDS):
        flags = np.array([_NORMAL_WORDS[str(label).lower()] for label in labels], np.int64)
        return TextSet(texts, flags, ("normal", "anomalous"), name=name, normal_classes=("normal",))
    places = {label: i for i, label in enumerate(found)}
    index = np.array([places[str(label)] for label in labels], np.int64)
    return TextSet(texts, index, tuple(found), name=name)
