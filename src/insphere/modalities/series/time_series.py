"""The one form in which series travel: values over time, with a label for each point."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from insphere.data.sample_set import SampleSet
from insphere.errors import DataError, SpecError
from insphere.modalities.tables.files import read_frame
from insphere.modalities.tables.frame import Frame
from insphere.parsing import is_number

ROLES = ("time", "label", "drop")
BLOCKS = 40  # in which points stay together when some are held out
GAP = 1.5  # usual steps; a longer one is a gap
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TimeSeries(SampleSet):
    """Values over time; its samples are its points.

    Parameters
    ----------
    values : ndarray of float64, shape (L, C), or (L,) for one channel
        NaN is a missing value; the last one before it is taken instead.
    times : ndarray of float64, shape (L,), optional
        Seconds, ascending; by default 0, 1, 2, …
    channels : tuple of str
        Names of the channels; by default "value", or "channel 0" and so on.
    labels, class_names, name, is_test, paths, normal_classes
        See `SampleSet`; by default one class of points.
    points : ndarray of int64, shape (N,), optional
        Which points are the samples; the others are only what came before them. By default all.

    Raises
    ------
    DataError
        If times do not ascend, lengths differ, or values are infinite.
    """

    samples_are_rows: ClassVar[bool] = False

    values: Floats
    times: Floats = None  # type: ignore[assignment]
    channels: tuple[str, ...] = ()
    labels: NDArray[np.int64] = None  # type: ignore[assignment]
    class_names: tuple[str, ...] = ("points",)
    name: str = "series"
    is_test: NDArray[np.bool_] | None = None
    paths: tuple[str, ...] | None = None
    normal_classes: tuple[str, ...] = ()
    points: NDArray[np.int64] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        try:
            values = np.asarray(self.values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError("A series holds numbers: leave out channels of texts.") from error
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or not len(values) or not values.shape[1]:
            raise DataError(
                f"A series has values of shape (points, channels), but got {values.shape}."
            )
        n = len(values)
        if np.isinf(values).any():
            raise DataError("The series contains infinite values: leave them empty instead.")
        if (empty := np.isnan(values).all(axis=0)).any():
            names = self.channels or tuple(f"channel {i}" for i in range(values.shape[1]))
            raise DataError(
                f"Channel {names[int(np.argmax(empty))]} has no value at all: leave it out."
            )
        times = np.arange(n, dtype=np.float64) if self.times is None else np.asarray(self.times)
        if len(times) != n:
            raise DataError(f"There are {n} values but {len(times)} time stamps.")
        times = times.astype(np.float64)
        if np.isnan(times).any() or (np.diff(times) <= 0).any():
            at = int(np.argmax(np.isnan(times[1:]) | ~(np.diff(times) > 0))) + 1
            raise DataError(
                f"Time stamps must ascend, but number {at + 1} is not after the one before it: "
                "sort the rows by time and leave out doubled stamps."
            )
        usual = ("value",) if values.shape[1] == 1 else None
        channels = self.channels or usual or tuple(f"channel {i}" for i in range(values.shape[1]))
        points = np.arange(n) if self.points is None else np.asarray(self.points, np.int64)
        labels = np.zeros(len(points), np.int64) if self.labels is None else self.labels
        for name, value in (
            ("values", values), ("times", times), ("channels", channels), ("points", points),
            ("labels", np.asarray(labels, np.int64)),
        ):  # fmt: skip
            object.__setattr__(self, name, value)
        if len(self.labels) != len(self.points):
            raise DataError(f"There are {len(points)} points but {len(self.labels)} labels.")

    def __repr__(self) -> str:
        return (
            f"TimeSeries({self.name!r}, {len(self)} points of {len(self.channels)} channels, "
            f"{len(self.class_names)} classes)"
        )

    @cached_property
    def groups(self) -> NDArray[np.int64]:  # type: ignore[override]
        """Blocks of time, whose windows overlap and are held out together, shape (N,)."""
        return self.points * min(BLOCKS, len(self.values)) // len(self.values)

    def take(self, index: NDArray[np.int64]) -> TimeSeries:
        """Return the series with these points; the others remain as what came before."""
        paths = None if self.paths is None else tuple(self.paths[int(i)] for i in index)
        is_test = None if self.is_test is None else self.is_test[index]
        return replace(
            self, points=self.points[index], labels=self.labels[index], paths=paths, is_test=is_test
        )

    def one_class(self, index: NDArray[np.int64], name: str) -> TimeSeries:
        """Return the points at a sorted index as a set of one class of this name."""
        none = np.zeros(len(index), np.int64)
        return replace(
            self, points=self.points[index], labels=none, class_names=(name,), paths=None,
            is_test=None, normal_classes=(),
        )  # fmt: skip

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over values, times, points and labels."""
        digest = hashlib.sha256(repr((self.channels, self.class_names)).encode())
        for array in (self.values, self.times):
            digest.update(np.ascontiguousarray(array, dtype="<f8").data)
        for whole in (self.points, self.labels):
            digest.update(np.ascontiguousarray(whole, dtype="<i8").data)
        return digest.hexdigest()

    @property
    def filled(self) -> Floats:
        """Values with each missing one replaced by the last before it, or the first there is."""
        values = self.values.copy()
        for channel in values.T:
            missing = np.isnan(channel)
            if missing.any():
                last = np.maximum.accumulate(np.where(missing, -1, np.arange(len(channel))))
                last[last < 0] = int(np.argmax(~missing))
                channel[:] = channel[last]
        return values

    @property
    def starts(self) -> NDArray[np.int64]:
        """For each point of the whole series, where its stretch without a gap starts."""
        steps = np.diff(self.times)
        first = np.zeros(len(self.values), bool)
        first[0] = True
        if len(steps):
            first[1:] = steps > GAP * np.median(steps)
        return np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))


def read_series(source: str, columns: Mapping[str, str], *, test_size: float = 0.5) -> TimeSeries:
    """Read a CSV or Parquet file with a column of time stamps and columns of values.

    Parameters
    ----------
    source : str
        Path of the file.
    columns : mapping of str to str
        "time": column of time stamps, by default the first that holds dates; "label": column with
        the class of each point; "drop": columns to leave out, separated by commas. A role with a
        question mark may name a column that is not there.
    test_size : float
        With labels, the last share of the series that is not trained on.

    Raises
    ------
    DataError, SpecError
        If the file or a column cannot be used.
    """
    path = Path(source)
    frame = read_frame(path)
    roles = _roles(columns, frame)
    time = next(iter(roles["time"]), None) or _time_column(frame)
    label = next(iter(roles["label"]), None)
    left = {one for one in (time, label, *roles["drop"]) if one is not None}
    rest = frame.without(left)
    texts = [n for n, v in zip(rest.names, rest.columns, strict=True) if v.dtype == object]
    if texts or not rest.names:
        raise DataError(
            f"{path} has a column of texts, {texts[0]}, which is no channel of a series: leave it "
            f"out with drop={texts[0]}."
            if texts
            else f"{path} has no column of values beside its time stamps."
        )
    times: Any = None
    paths = None
    if time is not None:
        times = _seconds(time, frame.column(time))
        paths = tuple(_stamp(value) for value in frame.column(time))
    names: tuple[str, ...] = ("points",)
    labels, is_test = np.zeros(len(frame), np.int64), None
    if label is not None:
        found = [_stamp(value) for value in frame.column(label)]
        names = tuple(sorted(set(found)))
        labels = np.array([names.index(value) for value in found], dtype=np.int64)
        is_test = np.arange(len(frame)) >= round((1 - test_size) * len(frame))
    normal = tuple(one for one in names if one.lower() in ("0", "normal", "false"))
    return TimeSeries(
        np.column_stack(rest.columns), times, rest.names, labels, names, path.stem, is_test, paths,
        normal if label is not None else (),
    )  # fmt: skip


def looks_like_series(path: Path) -> bool:
    """Whether a CSV file has one column of ascending dates and otherwise numbers alone."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = [line for _, line in zip(range(30), file, strict=False)]
        head, *rows = ([cell.strip() for cell in line.strip().split(",")] for line in lines)
        if len(head) < 2 or len(rows) < 3:
            return False
        rows = [row for row in rows if row != [""]]
        times = np.array([_parsed(row[0]) for row in rows])
        numbers = [cell == "" or is_number(cell) for row in rows for cell in row[1:]]
    except (ValueError, IndexError, OSError, UnicodeDecodeError):
        return False
    return bool((np.diff(times) > 0).all()) and all(numbers)


def _roles(columns: Mapping[str, str], frame: Frame) -> dict[str, list[str]]:
    roles: dict[str, list[str]] = {role: [] for role in ROLES}
    for role, named in columns.items():
        plain = role.removesuffix("?")
        if plain not in ROLES:
            raise SpecError(f"A column of a series is for {', '.join(ROLES)}, but got {role}.")
        parts = [part.strip() for part in named.split(",")] if plain == "drop" else [named]
        if role.endswith("?"):
            parts = [part for part in parts if part in frame.names]
        for part in parts:
            frame.column(part)
        roles[plain] = roles[plain] or parts
    return roles


def _time_column(frame: Frame) -> str | None:
    for name, values in zip(frame.names, frame.columns, strict=True):
        if values.dtype == object and values[0] is not None:
            try:
                _parsed(values[0])
            except ValueError:
                continue
            return name
    return None


def _seconds(name: str, values: NDArray[Any]) -> Floats:
    if values.dtype != object:
        return values
    try:
        return np.array([_parsed("" if value is None else value) for value in values])
    except ValueError as error:
        raise DataError(
            f"Column {name} holds time stamps that are not understood ({error}): write them as "
            "2024-01-31 12:00:00, or as numbers."
        ) from error


def _parsed(text: str) -> float:
    stamp = datetime.fromisoformat(text.strip())
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


def _stamp(value: float | str | None) -> str:
    if value is None or value != value:
        return "missing"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def window_length(values: Floats) -> int:
    """Return the length of windows: the strongest period of the autocorrelation.

    The highest local maximum of the autocorrelation of the first channel between lags 3 and 300 is
    taken, if it is positive, else 125 (as in TSB-AD); at least 8, at most 125 and a third of the
    points.

    Parameters
    ----------
    values : ndarray of float64, shape (L, C)
        Normal values without gaps.
    """
    x = values[:20_000, 0] - values[:20_000, 0].mean()
    most = max(8, min(125, len(values) // 3))
    found = 125
    if x.std() > 0:
        spectrum = np.fft.rfft(x, 2 * len(x))
        lags = np.fft.irfft(spectrum * np.conj(spectrum))[: min(len(x), 302)]
        inner = np.arange(3, len(lags) - 1)
        peaks = inner[(lags[inner] > lags[inner - 1]) & (lags[inner] >= lags[inner + 1])]
        if len(peaks) and lags[best := peaks[int(np.argmax(lags[peaks]))]] > 0:
            found = int(best)
    return int(np.clip(found, 8, most))
