"""Texts in files: JSON lines, CSV columns, and plain files with one text a line."""

from __future__ import annotations

import csv
import errno
import json
import os
import stat
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import IO, Any

import numpy as np

from insphere.data.limits import limits
from insphere.errors import DataError, SpecError, did_you_mean
from insphere.modalities.tables.files import LABEL_NAMES, TWO_CLASSES
from insphere.modalities.tables.table_set import NORMAL_WORDS
from insphere.modalities.texts.text_set import TextSet
from insphere.safe_text import reason

JSON_LINES = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv")
LINES = (".txt",)
SUFFIXES = (*JSON_LINES, *TABLES, *LINES)

TEXT_FIELDS = ("text", "message", "sentence", "content", "body", "document")
"""Names under which a text is looked for, the first that is there, unless one is given."""

LABEL_FIELDS = ("anomaly", "label")
"""Names of fields that are taken for the label unless another is named; in any letters.

Others of `LABEL_NAMES` are taken where they hold two classes that say what a text is, and fields of
any name where these are two of `SURE_WORDS`, with a warning."""
SURE_WORDS = frozenset({
    "ham", "spam", "normal", "anomaly", "anomalous", "abnormal", "inlier", "outlier", "fraud",
    "benign", "attack",
})  # fmt: skip

ROLES = ("text", "label")
LONGEST = 100_000
"""Characters of one text; a longer one is a document and belongs into pieces."""

MOST_ZEROS = 0.25
"""Share of characters of value 0 from which something is no text."""

_LONGEST_LINE = 1 << 22  # bytes
_HEAD = 1 << 16
_BINARY = getattr(os, "O_BINARY", 0)
_TRUTH = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}
_CLASSES = TWO_CLASSES | _TRUTH.keys() | SURE_WORDS
_LONGEST_CLASS = 200  # characters
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UNSEEN = ("Cf", "Cc")  # categories of characters that show nothing


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
        `LABEL_FIELDS` that is there. A role with a question mark at its end, such as "text?", may
        name a field that is not there.

    Raises
    ------
    DataError
        If the file cannot be read, is not UTF-8 or UTF-16, or a text is missing, empty or too long.
    SpecError
        If there is no such role.
    """
    for role in columns:
        if role.removesuffix("?") not in ROLES:
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
    fields: list[Fields] = []
    try:
        with _opened(path) as file:
            for place, text, about in rows(file, path, columns):
                texts.append(checked(text, f"Line {place:,} of {path}"))
                fields.append(about)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: save it as UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV: {reason(error)}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not texts:
        raise DataError(f"{path} holds no texts: put one on each line.")
    return _labelled(as_texts(texts), _labels(fields, columns), path)


def checked(text: str, place: str) -> str:
    """Return a text, or refuse it; halves of surrogate pairs, which JSON can hold, are replaced.

    Raises
    ------
    DataError
        If it is empty, no text, or longer than `LONGEST`.
    """
    if all(letter.isspace() or unicodedata.category(letter) in _UNSEEN for letter in text):
        raise DataError(f"{place} is an empty text: leave it out.")
    if text.count("\0") > MOST_ZEROS * len(text):
        raise DataError(
            f"{place} is no text, since many of its characters have the value 0, as in UTF-16 "
            "without its mark: save it as UTF-8."
        )
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
        if file.peek(2)[:2] in _UTF_16:
            with file:
                return BytesIO(file.read().decode("utf-16").encode())
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


Fields = dict[str, str | None]
"""The fields of a text that may be its label, by name."""
Row = tuple[int, str, Fields]


def _from_lines(file: IO[bytes], path: Path, columns: Mapping[str, str]) -> Iterator[Row]:
    if not all(role.endswith("?") for role in columns):
        raise DataError(f"{path} is plain text and has no fields: leave out --label and --column.")
    for number, line in _lines(file, path):
        for text in line.split("\r"):
            if text.strip():
                yield number, text, {}


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
        if isinstance(found, str) and all(role.endswith("?") for role in columns):
            yield number, found, {}
            continue
        if not isinstance(found, dict):
            raise DataError(
                f'Line {number:,} of {path} holds no object with fields, such as {{"text": "…"}}.'
            )
        names = list(found)
        text = found[_field(names, "text", columns, TEXT_FIELDS, f"Line {number:,} of {path}")]
        if not isinstance(text, str):
            raise DataError(f"Line {number:,} of {path} holds no text but {_kind(text)}.")
        yield (
            number,
            text,
            {
                name: _short(None if found[name] is None else _word(found[name]))
                for name in _label_fields(names, columns, f"Line {number:,} of {path}")
            },
        )


def _from_table(file: IO[bytes], path: Path, columns: Mapping[str, str]) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_LINE)
    with TextIOWrapper(file, encoding="utf-8-sig", newline="") as lines:
        first = lines.readline(_HEAD)
        lines.seek(0)
        mark = "\t" if path.suffix.lower() == ".tsv" else max(",;\t|", key=first.count)
        reader = csv.reader(lines, delimiter=mark)
        names = [name.strip() for name in next(reader, [])]
        doubled = [name for name, n in Counter(names).items() if n > 1]
        if doubled:
            raise DataError(f"{path} has several columns named {doubled[0]}: rename them.")
        text = names.index(_field(names, "text", columns, TEXT_FIELDS, str(path)))
        labels = [(name, names.index(name)) for name in _label_fields(names, columns, str(path))]
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise DataError(
                    f"Line {reader.line_num:,} of {path} has {len(row)} values, but the first line "
                    f"names {len(names)} columns."
                )
            yield reader.line_num, row[text], {n: _short(row[i].strip()) for n, i in labels}


def _field(
    names: list[str], role: str, columns: Mapping[str, str], usual: tuple[str, ...], place: str
) -> str:
    known = ", ".join(names[:10]) or "none"
    if role in columns:
        if columns[role] not in names:
            raise DataError(f"{place} has no field {columns[role]!r}; its fields are: {known}.")
        return columns[role]
    if (remembered := columns.get(f"{role}?")) in names:
        return str(remembered)
    small = {name.lower(): name for name in reversed(names)}
    found = next((small[name] for name in usual if name in small), None)
    if found is None:
        raise DataError(
            f"{place} has no field {usual[0]!r}: name the field of the texts with --column "
            f"text=NAME; its fields are: {known}."
        )
    return found


def _label_fields(names: Sequence[str], columns: Mapping[str, str], place: str) -> list[str]:
    """Return the fields that may be the label."""
    if "label" in columns:
        return [_field(list(names), "label", columns, (), place)]
    if (remembered := columns.get("label?")) in names:
        return [str(remembered)]
    return list(names)


def _labels(fields: Sequence[Fields], columns: Mapping[str, str]) -> list[str | None]:
    """Return the label of each text: the named field, or one that surely is."""
    names = list(dict.fromkeys(name for about in fields for name in about))
    order = {name: i for i, name in enumerate(LABEL_FIELDS)}
    for name in sorted(names, key=lambda name: order.get(name.lower(), len(order))):
        found = [about.get(name) for about in fields]
        if name in (columns.get("label"), columns.get("label?")) or name.lower() in order:
            return found
        classes = {value.lower() for value in found if value is not None}
        named = name.lower() in LABEL_NAMES and 0 < len(classes) <= 2 and classes <= _CLASSES
        if named or (len(classes) == 2 and classes <= SURE_WORDS):
            warnings.warn(
                f"Field {name} is taken for what each text is, and is not trained on: name another "
                "with --label, or rename it if it is something else.",
                stacklevel=2,
            )
            return found
    return [None] * len(fields)


def _short(value: str | None) -> str | None:
    """Return what may be a class, shortened; None for nothing."""
    return value[:_LONGEST_CLASS] if value else None


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
    if {label.lower() for label in found} <= _TRUTH.keys():
        flags = np.array([_TRUTH[str(label).lower()] for label in labels], np.int64)
        return TextSet(texts, flags, ("normal", "anomalous"), name=name, normal_classes=("normal",))
    places = {label: i for i, label in enumerate(found)}
    index = np.array([places[str(label)] for label in labels], np.int64)
    normal = tuple(label for label in found if label.lower() in NORMAL_WORDS)[:1]
    return TextSet(texts, index, tuple(found), name=name, normal_classes=normal)
