"""The one form in which series travel: values over time, with a label for each point."""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from insphere.data.sample_set import SampleSet
from insphere.errors import DataError, SpecError
from insphere.modalities.arrays import POINTS, ROWS, SUFFIXES, holds_points, read_arrays
from insphere.modalities.series.stamps import as_seconds, is_stamp, moments, seconds
from insphere.modalities.tables.files import LABEL_NAMES, lines_of, read_frame, usual_label
from insphere.modalities.tables.frame import Frame
from insphere.modalities.tables.numbers import is_missing, is_written_number
from insphere.modalities.tables.table_set import NORMAL_WORDS

ROLES = ("time", "label", "drop")
BLOCKS = 40  # in which points stay together when some are held out
GAP = 1.5  # usual steps; a longer one is a gap
TIME_NAMES = ("time", "timestamp", "timestamps", "datetime", "date", "t", "ts", "epoch", "seconds")
"""Names, in small letters, of a column of numbers that are times if they ascend."""
SURE_NAMES = ("timestamp", "timestamps", "datetime", "epoch")
"""Those of them that nothing else has."""
ASCENDING = 0.9  # share of steps upwards from which numbers of such a name are times with a fault
_HEAD = 1 << 16  # bytes from which a series is recognised
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TimeSeries(SampleSet):
    """Values over time; its samples are its points.

    Parameters
    ----------
    values : ndarray of float64, shape (L, C), or (L,) for one channel
        NaN is a missing value; the last one before it is taken instead.
    times : ndarray of float64, shape (L,), optional
        Seconds, ascending; by default 0, 1, 2, … Times of NumPy and Python, and dates as texts, are
        taken too.
    channels : tuple of str
        Names of the channels; by default "value", or "channel 0" and so on.
    labels, class_names, name, is_test, paths, normal_classes
        See `SampleSet`; by default one class of points.
    points : ndarray of int64, shape (N,), optional
        Which points are the samples; the others are only what came before them. By default all.

    Raises
    ------
    DataError
        If times do not ascend, lengths or names differ, or values are infinite.
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
        given = self.values
        try:
            if np.iscomplexobj(given):
                raise DataError("A series holds real numbers: give two channels for complex ones.")
            values = np.asarray(given, dtype=np.float64)
        except DataError:
            raise
        except (TypeError, ValueError) as error:
            raise DataError("A series holds numbers: leave out channels of texts.") from error
        if isinstance(given, np.ma.MaskedArray):
            values = np.where(np.ma.getmaskarray(given), np.nan, values)
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
        times = np.arange(n, dtype=np.float64) if self.times is None else as_seconds(self.times)
        if times.shape != (n,):
            raise DataError(f"There are {n} values but {times.size} time stamps.")
        if np.isnan(times).any() or (np.diff(times) <= 0).any():
            at = int(np.argmax(np.isnan(times[1:]) | ~(np.diff(times) > 0))) + 1
            raise DataError(
                f"Time stamps must ascend, but number {at + 1} is not after the one before it: "
                "sort the rows by time and leave out doubled stamps."
            )
        usual = ("value",) if values.shape[1] == 1 else None
        channels = self.channels or usual or tuple(f"channel {i}" for i in range(values.shape[1]))
        if len(channels) != values.shape[1] or len(set(channels)) < len(channels):
            raise DataError(
                f"The series has {values.shape[1]} channels, which have names of their own, but "
                f"got {', '.join(channels[:20])}."
            )
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
    """Read a series from a CSV or Parquet file, or from arrays of NumPy.

    Parameters
    ----------
    source : str
        Path of the file. A CSV or Parquet file has columns of values, and perhaps one of time
        stamps. An ``.npz`` file has `values`, and perhaps `labels` and `times`.
    columns : mapping of str to str
        "time": column of time stamps, by default the first that holds dates, or one named "time"
        or the like whose numbers ascend; "label": column with the class of each point, by default
        one that surely is; "drop": columns to leave out, separated by commas. A role with a
        question mark may name a column that is not there.
    test_size : float
        With labels of several classes, the last share of the series that is not trained on.

    Raises
    ------
    DataError, SpecError
        If the file or a column cannot be used.
    """
    path = Path(source)
    is_test = None
    if path.suffix.lower() in SUFFIXES:
        frame, usual, is_test = _of_arrays(path)
    else:
        frame = read_frame(path)
        usual = usual_label(frame)
    roles = _roles(columns, frame)
    time = next(iter(roles["time"]), None) or _time_column(frame, roles["drop"])
    label = next(iter(roles["label"]), None)
    if label is None and usual is not None and usual not in roles["drop"]:
        label = usual
        if path.suffix.lower() not in SUFFIXES:
            warnings.warn(
                f"Column {label} is taken for what each point is, and is not trained on: name "
                "another with --label, or leave it out "
                f"with --column drop={label}.",
                stacklevel=2,
            )
    left = {one for one in (time, label, *roles["drop"]) if one is not None}
    rest = frame.without(left)
    texts = [n for n, v in zip(rest.names, rest.columns, strict=True) if v.dtype == object]
    if texts and texts[0].lower() in TIME_NAMES:
        if time is not None:
            raise DataError(
                f"{path} says when in two columns, {time} and {texts[0]}: join them to one, such "
                "as 2024-01-31 12:00."
            )
        seconds(texts[0], frame.column(texts[0]))  # says what is wrong with them
    if texts or not rest.names:
        raise DataError(
            f"{path} has a column of texts, {texts[0]}, which is no channel of a series: leave it "
            f"out with --column drop={texts[0]}."
            if texts
            else f"{path} has no column of values beside its time stamps."
        )
    times: Any = None
    paths = None
    if time is not None:
        times = seconds(time, frame.column(time))
        paths = tuple(_stamp(value) for value in frame.column(time))
        _check_ascending(times, time, paths)
    names: tuple[str, ...] = ("points",)
    labels = np.zeros(len(frame), np.int64)
    if label is not None:
        found = [_stamp(value) for value in frame.column(label)]
        names = tuple(sorted(set(found)))
        labels = np.array([names.index(value) for value in found], dtype=np.int64)
        if len(names) > 1 and is_test is None:
            is_test = np.arange(len(frame)) >= round((1 - test_size) * len(frame))
    normal = tuple(one for one in names if one.lower() in NORMAL_WORDS)[:1]
    return TimeSeries(
        np.column_stack(rest.columns), times, rest.names, labels, names, path.stem, is_test, paths,
        normal if label is not None else (),
    )  # fmt: skip


def looks_like_series(path: Path) -> bool:
    """Whether a file is surely a series.

    These are a CSV file whose first column holds ascending dates, or ascending numbers under one of
    `SURE_NAMES`, and whose others hold numbers; and NumPy files with `values` (see
    `insphere.modalities.arrays.holds_points`).
    """
    if path.suffix.lower() in SUFFIXES:
        return holds_points(path)
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    try:
        head, *rows = _first_lines(path)
        if len(head) < 2 or len(rows) < 3 or any(len(row) != len(head) for row in rows):
            return False
        first = [row[0].strip() for row in rows]
        sure = head[0].strip().lower() in SURE_NAMES and all(map(is_written_number, first))
        times = np.array(first, dtype=np.float64) if sure else moments(first)
    except (ValueError, OSError, DataError, csv.Error):
        return False
    numbers = all(
        is_missing(cell) or is_written_number(cell)
        for row in rows
        for name, cell in zip(head[1:], row[1:], strict=True)
        if name.strip().lower() not in LABEL_NAMES
    )
    return bool((np.diff(times) > 0).all()) and numbers


def _first_lines(path: Path) -> list[list[str]]:
    """Return the cells of the first lines of a CSV file, whatever its encoding and separator."""
    with path.open("rb") as file:
        content = file.read(_HEAD)
    codec = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = content.decode(codec, "replace")
    whole = text if len(content) < _HEAD else text[: text.rfind("\n") + 1]
    return [row for _, row in lines_of(whole, path)[1][:30]]


def _of_arrays(path: Path) -> tuple[Frame, str | None, NDArray[np.bool_] | None]:
    """Return the values of a NumPy file as columns, with its times and labels, if it has any."""
    found = read_arrays(path, (*POINTS, *ROWS))
    values = found["values"]
    if values.dtype.kind not in "iufb":
        raise DataError(f"The values in {path} are of type {values.dtype}, not numbers.")
    width = values.shape[1]
    usual = ["value"] if width == 1 else [f"channel {i}" for i in range(width)]
    names = [str(name) for name in found.get("names", usual)]
    columns: list[NDArray[Any]] = list(values.T.astype(np.float64))
    for role, name in (("times", "time"), ("labels", "label")):
        if role in found:
            names.append(name)
            one = found[role]
            if one.dtype.kind == "M":
                one = as_seconds(one)
            columns.append(
                one.astype(str).astype(object) if one.dtype.kind in "US" else one.astype(np.float64)
            )
    label = "label" if "labels" in found else None
    return Frame(tuple(names), tuple(columns)), label, found.get("is_test")


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


def _time_column(frame: Frame, dropped: Collection[str]) -> str | None:
    for name, values in zip(frame.names, frame.columns, strict=True):
        if name in dropped:
            continue
        if values.dtype != object:
            if name.lower() in TIME_NAMES and len(values) > 1:
                rising = float((np.diff(values) > 0).mean())
                if rising >= ASCENDING or name.lower() in SURE_NAMES:
                    return name  # one that does not ascend everywhere is refused later
        elif values[0] is not None and is_stamp(values[0]):
            return name
    return None


def _check_ascending(times: Floats, name: str, stamps: tuple[str, ...]) -> None:
    """Refuse time stamps that do not ascend, and say which and what can be done."""
    wrong = np.flatnonzero(~(np.diff(times) > 0))
    if len(wrong):
        at = int(wrong[0]) + 1
        raise DataError(
            f"Time stamps must ascend, but number {at + 1:,} ({stamps[at]}) is not after the one "
            f"before it ({stamps[at - 1]}): sort the rows by time and leave out doubled stamps, or "
            f"take the rows as they come with --column drop={name}."
        )


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
    most = max(8, min(125, len(values) // 3))
    period, strength = strongest_period(values)
    return int(np.clip(period if strength > 0 else 125, 8, most))


def strongest_period(values: Floats) -> tuple[int, float]:
    """Return the lag of the strongest period of the first channel, and its autocorrelation.

    This is the highest local maximum between lags 3 and 300 of the first 20,000 points; (0, 0.0) if
    there is none. The autocorrelation is the share of the variance that repeats after the lag.

    Parameters
    ----------
    values : ndarray of float64, shape (L, C)
        Normal values without gaps.
    """
    x = values[:20_000, 0] - values[:20_000, 0].mean()
    if not x.std() > 0:
        return 0, 0.0
    spectrum = np.fft.rfft(x, 2 * len(x))
    lags = np.fft.irfft(spectrum * np.conj(spectrum))[: min(len(x), 302)]
    inner = np.arange(3, len(lags) - 1)
    peaks = inner[(lags[inner] > lags[inner - 1]) & (lags[inner] >= lags[inner + 1])]
    if not len(peaks):
        return 0, 0.0
    best = int(peaks[int(np.argmax(lags[peaks]))])
    return best, float(lags[best] / lags[0])
