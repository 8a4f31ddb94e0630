"""Time stamps as text: which moment each one is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError
from insphere.safe_text import reason

Floats = NDArray[np.float64]

_WRITTEN = re.compile(
    r"(\d{1,4})[-/.](\d{1,2})[-/.](\d{1,4})(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?"
    r"\s*([AaPp][Mm])?)?"
)
ORDERS = ("ymd", "dmy", "mdy")
"""What the three numbers of a date can be."""


def is_stamp(text: str) -> bool:
    """Whether a text is a date, perhaps with a time."""
    return _iso(text) is not None or any(_parts(text, order) is not None for order in ORDERS)


def moments(texts: Sequence[str]) -> Floats:
    """Return the seconds of time stamps, which are all written alike.

    ISO 8601 is tried first. 03/04/2024 does not show whether the day or the month comes first: what
    lets all stamps of the column be dates and ascend is taken, and of two such orders the one
    with the more even steps.

    Raises
    ------
    ValueError
        If one is no date; the message names it.
    """
    iso = [_iso(text) for text in texts]
    if all(value is not None for value in iso):
        return np.array(iso, dtype=np.float64)
    found: list[tuple[Any, Floats]] = []
    wrong = next(text for text, value in zip(texts, iso, strict=True) if value is None)
    for order in ORDERS:
        values = [_parts(text, order) for text in texts]
        if any(value is None for value in values):
            wrong = max(
                wrong, next(t for t, v in zip(texts, values, strict=True) if v is None), key=len
            )
            continue
        times = np.array(values, dtype=np.float64)
        steps = np.diff(times)
        falls = bool((steps <= 0).any())
        found.append(((falls, float(steps.std()) if len(steps) else 0.0), times))
    if not found:
        raise ValueError(f"{wrong!r} is no date")
    return min(found, key=lambda one: one[0])[1]


def seconds(name: str, values: NDArray[Any]) -> Floats:
    """Return the seconds of a column of time stamps; numbers are taken as they are.

    Raises
    ------
    DataError
        If one is missing, or is no date.
    """
    if values.dtype != object:
        return values
    texts = ["" if value is None else value for value in values.tolist()]
    if "" in texts:
        raise DataError(
            f"Column {name} lacks the time stamp of row {texts.index('') + 1:,}: fill it in, or "
            "leave the row out."
        )
    try:
        return moments(texts)
    except ValueError as error:
        raise DataError(
            f"Column {name} holds time stamps that are not understood ({reason(error)}): write "
            "them as 2024-01-31 12:00:00, or as numbers."
        ) from error


def _iso(text: str) -> float | None:
    try:
        stamp = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return _timestamp(stamp)


def _timestamp(stamp: datetime) -> float:
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


def _parts(text: str, order: str) -> float | None:
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        return None
    date = dict(zip(order, found.groups()[:3], strict=True))
    if len(date["y"]) != 4 or len(date["d"]) > 2:
        return None
    hour, minute = int(found[4] or 0), int(found[5] or 0)
    if found[7]:
        hour = hour % 12 + (12 if found[7].lower() == "pm" else 0)
    try:
        stamp = datetime(int(date["y"]), int(date["m"]), int(date["d"]), hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    return stamp.timestamp() + float(found[6] or 0)
