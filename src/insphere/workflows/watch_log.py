"""The file to which a watched folder's scores are appended: one line for each image, ever.

A line is written whole and is on the disk before the next step. A line that a crash cut off is
removed when the file is opened again, and its image is scored again.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from filelock import FileLock, Timeout

from insphere.atomic import refusals
from insphere.errors import DataError, SpecError
from insphere.parsing import ParseError, parse_json
from insphere.safe_text import csv_cell, csv_row, shown_path, visible

SUFFIXES = (".csv", ".jsonl")
COLUMNS = (
    "time", "path", "bytes", "modified_ns", "score", "z_score", "verdict", "p_value", "severity",
    "error",
)  # fmt: skip


class Identity(NamedTuple):
    """What makes a file the same file: a new one under an old name is another image.

    Parameters
    ----------
    path : str
        Below the watched folder, as it is written in the log.
    size : int
        Bytes.
    modified : int
        Time of the last change, in nanoseconds.
    """

    path: str
    size: int
    modified: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Return the identity of the file that a row of the log is about."""
        return cls(str(row["path"]), int(row["bytes"]), int(row["modified_ns"]))


def logged_path(relative: str) -> str:
    """Return a path as it is written in the log: on one line, and no formula of a spreadsheet."""
    return str(csv_cell(visible(relative)))


class WatchLog:
    """The lines of one watched folder; a context manager that keeps others from writing to it.

    Parameters
    ----------
    path : pathlib.Path
        A file ending in .csv or .jsonl.

    Attributes
    ----------
    rows : list of dict
        Those found at the start, in their order. Rows that are appended are not kept.
    seen : set of Identity
        All images that have a line.

    Raises
    ------
    SpecError
        If the name has another ending.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise SpecError(
                f"Name a file ending in {' or '.join(SUFFIXES)} for the scores, not "
                f"{shown_path(path)}."
            )
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self.seen: set[Identity] = set()
        self._lock = FileLock(f"{path}.lock")

    def __enter__(self) -> Self:
        """Open the file, remove a line that was cut off, and read the others.

        Raises
        ------
        DataError
            If another process writes to it, or it is no log of a watched folder.
        """
        with refusals("The scores", self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise DataError(
                    f"Another insphere watch writes to {shown_path(self.path)}: stop it, or name "
                    "another file with --out."
                ) from None
            try:
                self._file = self.path.open("a+b")
                self._read()
            except BaseException:
                self._lock.release()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()
        self._lock.release()

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows with the names of `COLUMNS`, and wait until they are on the disk."""
        with refusals("The scores", self.path):
            self._file.write("".join(map(self._line, rows)).encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        self.seen.update(map(Identity.of, rows))

    @property
    def _is_csv(self) -> bool:
        return self.path.suffix.lower() == ".csv"

    def _line(self, row: dict[str, Any]) -> str:
        if not self._is_csv:
            return json.dumps(row, ensure_ascii=False) + "\n"
        out = io.StringIO()
        shown = {**csv_row(row), "path": row["path"]}
        csv.DictWriter(out, COLUMNS, lineterminator="\n").writerow(shown)
        return out.getvalue()

    def _read(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) != len(content):
            self._file.truncate(len(whole))
        if not whole and self._is_csv:
            self._file.write((",".join(COLUMNS) + "\n").encode())
            self._file.flush()
            return
        self.rows = self._parsed(whole)
        self.seen = set(map(Identity.of, self.rows))

    def _parsed(self, content: bytes) -> list[dict[str, Any]]:
        other = DataError(
            f"{shown_path(self.path)} is no file of insphere watch: name another one with --out."
        )
        try:
            text = content.decode()
            if self._is_csv:
                reader = csv.DictReader(io.StringIO(text, newline=""))
                if tuple(reader.fieldnames or ()) != COLUMNS:
                    raise other
                rows = [{k: v for k, v in row.items() if v != ""} for row in reader]
            else:
                rows = [parse_json(line.encode()) for line in text.splitlines()]
            if any(not {"path", "bytes", "modified_ns"} <= set(row) for row in rows):
                raise other
            return rows
        except (UnicodeDecodeError, csv.Error, ParseError, TypeError) as error:
            raise other from error
