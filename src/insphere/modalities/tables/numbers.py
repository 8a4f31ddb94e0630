"""Numbers as people and programs write them in text: 1,234.5 or 1.234,5, with a unit or without."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

MISSING = frozenset(
    {"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-", "nil"}
)
"""What stands for a missing value in a text file, in small letters."""

_UNITS = "€$£¥%"
_SPACES = "'’\u00a0\u202f "  # between groups of three digits

Floats = NDArray[np.float64]


def as_columns(
    cells: Sequence[Sequence[str]], decimal: str
) -> tuple[Floats | NDArray[np.object_], ...]:
    """Return the columns of a text file: numbers where all cells are, else texts.

    Parameters
    ----------
    cells : sequence of sequences of str
        A sequence for each column.
    decimal : {".", ","}
        What is taken for the decimal mark where a column can be read with either.

    Returns
    -------
    tuple of ndarray
        float64, NaN where a value is missing; or objects, each a string or None.
    """
    plain = [_plain(column) for column in cells]
    read = [_marked(column, decimal) if one is None else one
            for column, one in zip(cells, plain, strict=True)]  # fmt: skip
    commas = any(
        was is None and now is not None and _with_comma(column)
        for column, was, now in zip(cells, plain, read, strict=True)
    )
    if commas:  # then dots between groups of three digits are no decimal marks
        read = [_grouped(column) if was is not None else now
                for column, was, now in zip(cells, plain, read, strict=True)]  # fmt: skip
    return tuple(
        _texts(column) if now is None else now for column, now in zip(cells, read, strict=True)
    )


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a missing value."""
    return cell.strip().lower() in MISSING


def is_written_number(cell: str) -> bool:
    """Whether a cell is a number in one of the ways of writing."""
    return _float(cell) is not None or any(
        _pattern(mark).fullmatch(_bare(cell)) for mark in (".", ",")
    )


def _plain(cells: Sequence[str]) -> Floats | None:
    """Return numbers that Python itself reads, else None."""
    try:
        return np.array([np.nan if is_missing(c) else _read(c) for c in cells], dtype=np.float64)
    except ValueError:
        return None


def _read(cell: str) -> float:
    if "_" in cell:
        raise ValueError("1_000 is a text")
    return float(cell)


def _float(cell: str) -> float | None:
    try:
        return _read(cell)
    except ValueError:
        return None


def _marked(cells: Sequence[str], decimal: str) -> Floats | None:
    """Return numbers with marks of thousands, a decimal comma or a unit, else None."""
    percents = {cell.strip().endswith("%") for cell in cells if not is_missing(cell)}
    if len(percents) > 1:  # 5 % and 5 are not the same
        return None
    bare = [_bare(cell) for cell in cells]
    for mark in (decimal, "," if decimal == "." else "."):
        if all(
            is_missing(c) or _pattern(mark).fullmatch(b) for c, b in zip(cells, bare, strict=True)
        ):
            other = "." if mark == "," else ","
            return np.array(
                [
                    np.nan if is_missing(c) else float(_without(b, other).replace(mark, "."))
                    for c, b in zip(cells, bare, strict=True)
                ]
            )
    return None


def _grouped(cells: Sequence[str]) -> Floats | None:
    """Return numbers of a file with decimal commas: its dots, if any, group thousands."""
    whole = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+|[+-]?\d+")
    present = [cell.strip() for cell in cells if not is_missing(cell)]
    if any("." in cell for cell in present) and all(map(whole.fullmatch, present)):
        return _plain([cell.replace(".", "") for cell in cells])
    return _plain(cells)


def _with_comma(cells: Sequence[str]) -> bool:
    return any(re.search(r",(?!\d{3}(?!\d))\d", cell) for cell in cells)


def _bare(cell: str) -> str:
    """Return a cell without its unit."""
    text = cell.strip()
    sign = text[:1] if text[:1] in ("+", "-") else ""
    return sign + text[len(sign) :].strip(_UNITS + " \u00a0")


def _without(text: str, mark: str) -> str:
    return "".join(letter for letter in text if letter != mark and letter not in _SPACES)


@cache
def _pattern(decimal: str) -> re.Pattern[str]:
    group = "[" + re.escape(("." if decimal == "," else ",") + _SPACES) + "]"
    tail = rf"(?:{re.escape(decimal)}\d+)?(?:[eE][+-]?\d+)?"
    return re.compile(rf"[+-]?(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+){tail}")


def _texts(cells: Sequence[str]) -> NDArray[np.object_]:
    texts = [cell.strip() for cell in cells]
    return np.array([None if t.lower() in MISSING else t for t in texts], dtype=object)
