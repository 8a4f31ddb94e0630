"""Finished runs as lines of JSON, which several processes can append safely."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from insphere.atomic import write_atomic
from insphere.errors import DataError
from insphere.parsing import ParseError, parse_json


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read all rows. A missing file gives an empty list; an incomplete last line is ignored.

    Raises
    ------
    DataError
        If a line before the last is not JSON, or a line is not a row.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            row = parse_json(line.encode(), finite=False)
        except ParseError as error:
            if number == len(lines):
                break
            raise DataError(f"Line {number} of {path} {error}; remove that line.") from error
        if not isinstance(row, dict):
            raise DataError(f"Line {number} of {path} is no row of a run; remove that line.")
        rows.append(row)
    return rows


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Append one row, after removing an incomplete last line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"), path.open("a+b") as file:
        file.seek(0)
        end = file.read().rfind(b"\n") + 1
        file.truncate(end)
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def append_new(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Append the rows that a file does not have, and return their number."""
    there = {row["run"] for row in read_rows(path)}
    new = [row for row in rows if row["run"] not in there]
    for row in new:
        append_row(path, row)
    return len(new)


def merge_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Add the rows that a file does not have, and sort it. Return the number of new rows.

    Existing rows are not changed. The order depends only on the settings of the runs, so that few
    lines of the file change when it grows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        merged: dict[str, Mapping[str, Any]] = {row["run"]: row for row in read_rows(path)}
        before = len(merged)
        for row in rows:
            merged.setdefault(row["run"], row)
        text = "".join(
            json.dumps(row, ensure_ascii=False) + "\n"
            for row in sorted(merged.values(), key=_order)
        )
        write_atomic(path, text)
    return len(merged) - before


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    params = json.dumps(row["params"], sort_keys=True)
    return row["dataset"], row["normal"], row["seed"], row["method"], params
