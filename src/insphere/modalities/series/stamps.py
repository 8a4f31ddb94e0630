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
EARLIEST, LATEST = 1900_01_01, 2100_12_31
"""Of days that are written as one number."""
_ZONES = (" UTC", " GMT", " Z")


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
    if None not in iso:
        zoned = [stamp is not None and stamp.tzinfo is not None for stamp in iso]
        if any(zoned) and not all(zoned):
            raise ValueError(f"{texts[zoned.index(False)]!r} has no time zone, but others have one")
        return np.array([_timestamp(stamp) for stamp in iso if stamp], dtype=np.float64)
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
    """Return the seconds of a column of time stamps; numbers other than days are taken as they are.

    Raises
    ------
    DataError
        If one is missing, or is no date.
    """
    if values.dtype != object:
        days = _days(values)
        return values if days is None else days
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


def as_seconds(times: Any) -> Floats:
    """Return times of NumPy, of Python, dates as texts, or numbers as seconds, shape (L,).

    Raises
    ------
    DataError
        If they are something else.
    """
    try:
        found = np.asarray(times)
        if found.ndim != 1:
            raise DataError("A series has one time stamp for each point.")
        if found.dtype.kind == "O" and all(isinstance(one, datetime) for one in found.tolist()):
            return moments([one.isoformat() for one in found.tolist()])
        if found.dtype.kind == "M":
            plain = found.astype("datetime64[us]")
            return np.where(np.isnat(plain), np.nan, plain.astype(np.int64) / 1e6)
        if found.dtype.kind in "US":
            return moments(found.astype(str).tolist())
        return found.astype(np.float64)
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The time stamps are not understood ({reason(error)}): give seconds, times of NumPy, "
            "or texts such as 2024-01-31 12:00:00."
        ) from error


def _iso(text: str) -> datetime | None:
    plain = text.strip()
    for zone in _ZONES:
        if plain.endswith(zone):
            plain = plain.removesuffix(zone) + "+00:00"
            break
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        return None


def _timestamp(stamp: datetime) -> float:
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


def _days(values: Floats) -> Floats | None:
    """Return the seconds of days written as one number, such as 20240131; None: they are not."""
    plain = np.isfinite(values).all() and (values % 1 == 0).all()
    if not plain or values.min() < EARLIEST or values.max() > LATEST:
        return None
    days = [_iso(str(int(value))) for value in values.tolist()]
    return None if None in days else np.array([_timestamp(day) for day in days if day])


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
