"""Series: float64, N×C×T, a window for each point, which ends at it."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from insphere.data.inputs import check_magnitude, training_index
from insphere.data.read_options import ReadOptions
from insphere.data.sample_set import SampleSet
from insphere.errors import DataError
from insphere.modalities.exhibit import Curve, Exhibit
from insphere.modalities.modality import Array, Example, Modality, forget_columns
from insphere.modalities.series.time_series import (
    TimeSeries,
    looks_like_series,
    read_series,
    window_length,
)

FEWEST = 8  # points of a window
CONTEXT = 3  # windows that are shown before and after a point
MOST_SHOWN = 12  # stretches that are drawn
UNTIMED = 1.0  # step of a series without time stamps
FASTER = 1.5  # factor between the steps of two series from which they are not alike


@dataclass(frozen=True)
class Series(Modality):
    """Points of a series, each read with the values before it.

    Parameters
    ----------
    channels : tuple of str
        Names of the channels.
    window : int
        Points of a window; the last is the point itself.
    step : float
        Usual seconds between points.
    """

    channels: tuple[str, ...]
    window: int
    step: float

    key: ClassVar[str] = "series"
    noun: ClassVar[str] = "a series"
    plural: ClassVar[str] = "points"
    singular: ClassVar[str] = "point"
    how_to_label: ClassVar[str] = (
        "name the column that says what each point is with --label, and the normal class with "
        "--normal"
    )
    independent: ClassVar[bool] = False
    method: ClassVar[str] = "series-svdd"
    rivals: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[Example] = Example(
        "share-prices", "Prices of a share up to the crash of 2008", "matplotlib"
    )

    @classmethod
    def reads(cls, X: Any) -> bool:
        """Whether this is a `TimeSeries`, or a pandas object with an index of times."""
        if isinstance(X, TimeSeries):
            return True
        if isinstance(X, (str, os.PathLike)):
            return looks_like_series(Path(X))
        return type(getattr(X, "index", None)).__name__ == "DatetimeIndex"

    @classmethod
    def is_source(cls, source: str) -> bool:
        """Whether this is a CSV file of ascending dates and numbers."""
        return looks_like_series(Path(source))

    @classmethod
    def load(cls, source: str, reading: ReadOptions, *, progress: bool | None = None) -> TimeSeries:
        """Read a file; see `insphere.modalities.series.time_series.read_series`."""
        return read_series(source, reading.columns, test_size=reading.test_size)

    @classmethod
    def opened(cls, X: Any) -> Any:
        """Return the series at a path or in a pandas object."""
        if isinstance(X, (str, os.PathLike)):
            return read_series(os.fspath(X), {})
        if isinstance(X, TimeSeries):
            return X
        stamps = X.index
        times = (stamps - stamps[0]).total_seconds().to_numpy() if len(stamps) else np.empty(0)
        names = tuple(map(str, X.columns)) if hasattr(X, "columns") else ()
        return TimeSeries(
            X.to_numpy(), times, names, paths=tuple(stamp.isoformat() for stamp in stamps)
        )

    @classmethod
    def owns(cls, data: Array) -> bool:
        """Whether this is an array N×C×T."""
        return data.ndim == 3 and data.dtype == np.float64

    @classmethod
    def read(cls, X: Any, *, fitting: bool, estimator: Any) -> Array:
        """Refuse: windows cannot be read without their length; see `learned` and `new`."""
        raise NotImplementedError

    @classmethod
    def of(cls, data: Array) -> Self:
        """Describe windows."""
        channels = tuple(f"channel {i}" for i in range(data.shape[1]))
        return cls(channels, int(data.shape[2]), 1.0)

    @classmethod
    def learned(cls, X: Any, estimator: Any) -> tuple[Array, Self]:
        """Return a window for each training point, and their length."""
        series = cls.opened(X)
        if len(index := training_index(series)) < len(series):
            series = series.take(index)
        points, values = series.points, series.filled
        window = getattr(estimator, "window", None) or window_length(values[points])
        if len(points) < 3 * window:
            raise DataError(
                f"The series has {len(points)} points to train on, and windows of {window} take at "
                f"least {3 * window}: give more, or a shorter window."
            )
        # A window that would reach across a gap, or a point that is not trained on, starts anew.
        starts = series.starts[points]
        first = np.r_[True, np.diff(points) > 1]
        starts = np.maximum(starts, np.maximum.accumulate(np.where(first, points, 0)))
        forget_columns(estimator)
        step = float(np.median(np.diff(series.times))) if len(series.times) > 1 else 1.0
        data = _windows(values, points, starts, window)
        check_magnitude(data, "Series")
        return data, cls(series.channels, int(window), step)

    def new(self, X: Any, estimator: Any) -> Array:
        """Return a window for each point; it may reach back to points that are not scored."""
        series = self.aligned(self.opened(X))
        steps = np.diff(series.times)
        step = float(np.median(steps)) if len(steps) else self.step
        if UNTIMED not in (step, self.step) and not 1 / FASTER < step / self.step < FASTER:
            warnings.warn(
                f"The points of this series are {step:.4g} s apart, and those of training "
                f"{self.step:.4g} s, so that windows do not mean the same: bring it to the steps "
                "of training.",
                stacklevel=2,
            )
        data = _windows(series.filled, series.points, series.starts[series.points], self.window)
        check_magnitude(data, "Series")
        return data

    def aligned(self, series: TimeSeries) -> TimeSeries:
        """Return a series with the channels of training, in their order.

        Raises
        ------
        DataError
            If it has other channels.
        """
        if series.channels == self.channels:
            return series
        places = {name: i for i, name in enumerate(series.channels)}
        lacking = [name for name in self.channels if name not in places]
        if not lacking:
            order = [places[name] for name in self.channels]
            return replace(series, values=series.values[:, order], channels=self.channels)
        if len(series.channels) != len(self.channels):
            raise DataError(
                f"The detector was trained on {len(self.channels)} channels "
                f"({', '.join(self.channels[:5])}), but this series has {len(series.channels)}."
            )
        if _unnamed(series.channels) or _unnamed(self.channels):
            return series
        if len(self.channels) > 1:
            raise DataError(
                f"The series lacks the channel {lacking[0]}, which the detector was trained on; it "
                f"has: {', '.join(series.channels[:20])}."
            )
        warnings.warn(
            f"The channel {series.channels[0]} is scored as {self.channels[0]}, which the detector "
            "was trained on.",
            stacklevel=2,
        )
        return series

    @classmethod
    def demo(cls) -> tuple[TimeSeries, str]:
        """Return four years of a share's prices, which Matplotlib ships, up to the crash of 2008.

        The channels are the daily change of the logarithm of the price, and that between the lowest
        and the highest price of a day. From 15 September 2008 on, when Lehman Brothers failed, days
        are of the class "crash". Trained is on days before July 2007.
        """
        from matplotlib.cbook import get_sample_data

        sample: Any = get_sample_data("goog.npz")
        with sample as data:
            prices = data["price_data"]
        days = prices["date"].astype("datetime64[D]")
        change = np.diff(np.log(prices["adj_close"]), prepend=np.log(prices["adj_close"][0]))
        spread = np.log(prices["high"] / prices["low"])
        labels = (days >= np.datetime64("2008-09-15")).astype(np.int64)
        series = TimeSeries(
            np.column_stack([change, spread]),
            channels=("change", "spread"),
            labels=labels,
            class_names=("calm", "crash"),
            name="share prices",
            is_test=days >= np.datetime64("2007-07-01"),
            paths=tuple(map(str, days)),
            normal_classes=("calm",),
        )
        return series, "calm"

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(C, T)."""
        return (len(self.channels), self.window)

    @property
    def size(self) -> str:
        """Channels and length of a window."""
        n = len(self.channels)
        return f"{n} channel{'' if n == 1 else 's'} in windows of {self.window}"

    def check(self, data: Array) -> None:
        """Do nothing: `new` has checked the channels."""

    def describe(self) -> str:
        """Return the noun with its size."""
        return f"a series of {self.size}"

    def exhibits(self, detector: Any, data: SampleSet, index: NDArray[np.int64]) -> list[Exhibit]:
        """Return the stretch around each point with its window, and the nearest normal window.

        Points less than a window apart are one stretch, which is drawn once, around the point with
        the highest score. The stretches with the highest scores are drawn.
        """
        assert isinstance(data, TimeSeries)
        data = self.aligned(data)
        values, places = data.filled, data.points[index]
        nearest = getattr(detector, "nearest_window", None)
        shown: list[int] = []
        exhibits = [Exhibit() for _ in places]
        scores = detector.anomaly_score(data.take(index))
        for row in np.argsort(-scores, kind="stable").tolist():
            place = int(places[row])
            if any(abs(other - place) < self.window for other in shown):
                exhibits[row] = Exhibit(note="Part of a stretch that is drawn elsewhere.")
                continue
            if len(shown) == MOST_SHOWN:
                continue
            shown.append(place)
            low = max(0, place - CONTEXT * self.window)
            stretch = values[low : place + CONTEXT * self.window + 1]
            marked = (max(0, place - self.window + 1 - low), place + 1 - low)
            curves = [
                Curve(tuple(channel.tolist()), name, marked)
                for name, channel in zip(self.channels, stretch.T, strict=True)
            ]
            if nearest is not None:
                alike = nearest(data.take(np.flatnonzero(data.points == place)))
                curves += [Curve(tuple(channel.tolist()), "nearest\nnormal") for channel in alike]
            exhibits[row] = Exhibit(curves=tuple(curves))
        return exhibits


def _unnamed(channels: tuple[str, ...]) -> bool:
    usual = tuple(f"channel {i}" for i in range(len(channels)))
    return channels in (("value",), usual)


def _windows(
    values: NDArray[np.float64],
    ends: NDArray[np.int64],
    starts: NDArray[np.int64],
    window: int,
) -> NDArray[np.float64]:
    """Return the windows that end at points, N×C×T; what lies before a start repeats its value."""
    index = ends[:, None] + np.arange(1 - window, 1)
    found: NDArray[np.float64] = values[np.maximum(index, starts[:, None])].transpose(0, 2, 1)
    return found
