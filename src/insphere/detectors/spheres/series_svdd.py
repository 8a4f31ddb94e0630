"""Deep SVDD for series: an ensemble of small spheres on windows."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import nn

from insphere.detectors.base.checks import require, require_count
from insphere.detectors.base.estimator import Array
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.spheres.sphere_ensemble import SphereEnsemble
from insphere.errors import DataError
from insphere.modalities.series.time_series import strongest_period
from insphere.nets.rows import RowEncoder
from insphere.nets.series.table import ENCODERS

Floats = NDArray[np.float64]

VIEWS: dict[str, tuple[str, ...]] = {
    "summary": ("window", "summary"),
    "shape": ("window", "summary", "shape"),
    "scales": ("window", "summary", "half", "quarter"),
}
"""What the members see, in turn: the window itself; what `summarised` says of it; the window
without the mean of each channel; its last half; its last quarter."""
POINT = "point"
"""The view of the last point alone, by its distance from the median of the window."""
PARTS = {"half": 2, "quarter": 4}
FEWEST = 4  # points of a part of a window
UTMOST = 0.99
"""Quantile of the normal distances from the median from which a point counts by itself."""
PERIODIC = 0.5
"""Share of the variance that repeats after a period, from which parts of a period count."""
WIDTH = 16
ROWS_AT_ONCE = 512


@parameters
class SeriesSVDD(SphereEnsemble):
    """Deep SVDD for series: an ensemble of small spheres on windows, a score for each point.

    The score of a point is that of the window that ends there, so that it needs no later values:
    `score_one` gives the same scores one by one. The first view is the standardised window, with an
    encoder of dilated causal convolutions (`insphere.nets.series`). The second is a summary of the
    window: level, deviation, last value against the level, roughness and range of
    each channel. Where more than half of the variance repeats after a period that fits into the
    window, as in an electrocardiogram, two more members see its last half and its last quarter: a
    part of a period is compared with the same part of others, wherever the rest of it lies. All
    start as the identity and are trained, and score, as in `TableSVDD`.

    The score is then multiplied with how far the point alone is beyond the utmost: its distance
    from the median of the window over the 99 % quantile of such distances in training, at least 1;
    of several channels, the one that is furthest beyond. So a jump counts at once, and within the
    utmost nothing changes.

    Parameters
    ----------
    views : {"auto", "summary", "shape", "scales"}, default="auto"
        What the members see: the window and its summary ("summary"), also the window without its
        level ("shape"), or also the parts of the window ("scales"). "auto" takes "scales" or
        "summary", as said above.
    points : bool, default=True
        Whether points count by themselves, as said above.
    encoder : {"convolution", "gru", "transformer"}, default="convolution"
        The network of windows and their parts; see `insphere.nets.series`. All have no biases, look
        back alone and start as the identity.
    window : int, optional
        Points of a window; by default the strongest period of the autocorrelation of the training
        points; see `insphere.modalities.series.time_series.window_length`.
    max_rows : int, default=4000
        Normal windows that are stored at most, chosen at random.
    steps : int, default=20
        Batches on which each member is trained.
    members, n_neighbors, lr
        See `insphere.detectors.spheres.sphere_ensemble.SphereEnsemble`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`. Held-out points are whole blocks of time, because windows overlap;
        what is promised holds for series whose blocks could be exchanged.

    Attributes
    ----------
    rows_ : ndarray of float64, shape (n, C, T)
        The stored normal windows.
    views_ : tuple of str
        What the members see, in turn; "point" is the factor for points.
    """

    card = MethodCard(
        key="series-svdd",
        title="Deep SVDD for series",
        family="sphere",
        summary="an ensemble of small spheres on the windows of a series, a score for each point",
        takes=("series",),
    )

    window: int | None = None
    views: str = "auto"
    points: bool = True
    encoder: str = "convolution"
    max_rows: int = 4000
    steps: int = 20

    def _fit(self, X: Array) -> Floats:
        if self.modality_.key != "series":
            raise DataError(
                f"SeriesSVDD takes series, but got {self.modality_.noun}; wrap values in "
                "TimeSeries(values)."
            )
        if self.window is not None:
            require_count("window", self.window, 2)
        require(
            self.views in ("auto", *VIEWS),
            f"views is auto, summary, shape or scales, but got {self.views!r}.",
        )
        require(
            self.encoder in ENCODERS,
            f"encoder is one of {', '.join(ENCODERS)}, but got {self.encoder!r}.",
        )
        require(isinstance(self.points, bool), f"points is True or False, but got {self.points!r}.")
        self.views_ = VIEWS[self._views_for(X) if self.views == "auto" else self.views]
        if self.points:
            self.views_ = (*self.views_, POINT)
        self.reset()
        return super()._fit(X)

    def _views_for(self, X: Array) -> str:
        """Decide by whether a period of the series fits into the window and explains half of it."""
        period, share = strongest_period(X[:, :, -1])
        return "scales" if share > PERIODIC and period <= X.shape[2] else "summary"

    @property
    def _count(self) -> int:
        return self.members + len(self.views_) - len(VIEWS["summary"])

    def _view_of(self, member: int) -> str:
        """Return what a member sees."""
        if self.views_[-1] != POINT:
            return self.views_[member % len(self.views_)]
        if member == self._count - 1:
            return POINT
        return self.views_[member % (len(self.views_) - 1)]

    # ------------------------------------------------------------------ public

    def reset(self) -> None:
        """Forget the values that `score_one` was given; the next one starts a series."""
        self._past: deque[Floats] = deque()

    def score_one(self, values: ArrayLike) -> float:
        """Score the next point of a stream.

        The cost does not grow with the number of points. The scores equal those of `anomaly_score`
        on the series so far, up to rounding.

        Parameters
        ----------
        values : array-like of float, shape (C,), or a number for one channel
            The values of the point; NaN is a missing one, and the last is taken.

        Returns
        -------
        float

        Raises
        ------
        DataError
            If there are other channels than in training.
        """
        check_is_fitted(self)
        channels, window = self.modality_.sample_shape
        point = np.atleast_1d(np.asarray(values, dtype=np.float64))
        if point.shape != (channels,):
            raise DataError(
                f"A point has {channels} values, one for each channel, but got {point.shape}."
            )
        if np.isnan(point).any():
            if not self._past:
                raise DataError("The first point of a stream has no missing values.")
            point = np.where(np.isnan(point), self._past[-1], point)
        if not self._past:
            self._past = deque([point] * window, maxlen=window)
        else:
            self._past.append(point)
        return float(self._score_read(np.stack(self._past, axis=1)[None])[0])

    def nearest_window(self, X: Any) -> Floats:
        """Return the stored normal window that is nearest to the one of a point, C×T.

        Parameters
        ----------
        X : TimeSeries
            With one point.
        """
        check_is_fitted(self)
        z = self._represented(self._view(self._read(X)[:1], 0), 0)
        nearest = self._searches[0].kneighbors(z, n_neighbors=1, return_distance=False)
        window: Floats = self.rows_[int(nearest[0, 0])]
        return window

    # ------------------------------------------------------------------ SphereEnsemble

    def _learn_scale(self, rows: Floats) -> None:
        self.mean_ = rows.mean(axis=(0, 2))
        deviation = rows.std(axis=(0, 2))
        self.scale_ = np.where(deviation > 0, deviation, 1.0)
        summary = summarised(self._standardised(rows))
        spread = summary.std(axis=0)
        self.summary_mean_ = summary.mean(axis=0)
        self.summary_scale_ = np.where(spread > 1e-9, spread, 1.0)
        self.point_scale_ = np.ones(rows.shape[1])
        if POINT in self.views_:
            apart = np.abs(from_median(self._standardised(rows)))
            for units in (apart.mean(axis=0), np.quantile(apart, UTMOST, axis=0)):
                self.point_scale_ = np.where(units > 1e-9, units, self.point_scale_)
            if rows.shape[1] > 1:  # one channel or another is beyond its own more often
                highest = (apart / self.point_scale_).max(axis=1)
                self.point_scale_ = self.point_scale_ * max(1.0, np.quantile(highest, UTMOST))

    def _scale_arrays(self) -> dict[str, Floats]:
        return {
            "mean": self.mean_,
            "scale": self.scale_,
            "summary_mean": self.summary_mean_,
            "summary_scale": self.summary_scale_,
            "point_scale": self.point_scale_,
        }

    def _set_scale(self, arrays: Mapping[str, Any]) -> None:
        self.mean_, self.scale_ = np.asarray(arrays["mean"]), np.asarray(arrays["scale"])
        self.summary_mean_ = np.asarray(arrays["summary_mean"])
        self.summary_scale_ = np.asarray(arrays["summary_scale"])
        self.point_scale_ = np.asarray(arrays.get("point_scale", np.ones(len(self.mean_))))
        self.reset()

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays, meta = super()._state()
        return arrays, meta | {"views": list(self.views_)}

    def _set_state(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        self.views_ = tuple(meta.get("views", VIEWS["summary"]))  # older models do not say
        super()._set_state(arrays, meta)

    def _encoder(self, shape: tuple[int, ...]) -> nn.Module:
        if len(shape) == 1:
            return RowEncoder(shape[0], WIDTH)
        return ENCODERS[self.encoder](shape[0], shape[1], WIDTH)

    def _member_shape(self, member: int) -> tuple[int, ...]:
        return self._view(self.rows_[:1], member).shape[1:]

    def _view(self, rows: Floats, member: int) -> Floats:
        scaled = self._standardised(rows)
        view = self._view_of(member)
        if view == POINT:
            point: Floats = from_median(scaled) / self.point_scale_
            return point
        if view == "shape":
            shape: Floats = scaled - scaled.mean(axis=2, keepdims=True)
            return shape
        if view == "summary":
            summary: Floats = (summarised(scaled) - self.summary_mean_) / self.summary_scale_
            return summary
        if view in PARTS:
            points = max(FEWEST, scaled.shape[2] // PARTS[view])
            return scaled[:, :, -points:]
        return scaled

    def _steps(self, member: int, seed: int) -> int:
        """Return for how many steps a member is trained: that of points is not."""
        return 0 if self._view_of(member) == POINT else self.steps

    def _distances(self, rows: Floats, member: int) -> Floats:
        if self._view_of(member) != POINT:
            return super()._distances(rows, member)
        apart: Floats = np.abs(self._view(rows, member)).max(axis=1)
        return np.maximum(apart, 1.0)

    def _together(self, distances: Floats) -> Floats:
        """Multiply what the windows say with how far the point is beyond the utmost."""
        if self.views_[-1] != POINT:
            return super()._together(distances)
        scores: Floats = super()._together(distances[:-1]) * distances[-1]
        return scores

    def _own_distances(self, member: int) -> Floats:
        """Return distances of stored windows from those that do not overlap with them."""
        if self._view_of(member) == POINT:
            return self._distances(self.rows_, member)
        z = self._represented(self._view(self.rows_, member), member)
        neighbors = min(self.n_neighbors, len(z) - 1)
        own = np.empty(len(z))
        square = np.square(z).sum(axis=1)
        for start in range(0, len(z), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            gaps = square[part, None] + square[None] - 2 * z[part] @ z.T
            apart = np.abs(self.places_[part, None] - self.places_[None])
            gaps[apart < self.rows_.shape[2]] = np.inf
            nearest = np.sort(np.partition(gaps, neighbors - 1, axis=1)[:, :neighbors], axis=1)
            own[part] = np.sqrt(np.maximum(nearest, 0)).mean(axis=1)
        finite = np.isfinite(own)
        return np.where(finite, own, own[finite].max() if finite.any() else 1.0)

    def _standardised(self, rows: Floats) -> Floats:
        scaled: Floats = (rows - self.mean_[:, None]) / self.scale_[:, None]
        return scaled


def from_median(rows: Floats) -> Floats:
    """Return the last value of each channel minus the median of its window, shape (n, C).

    Parameters
    ----------
    rows : ndarray of float64, shape (n, C, T)
        Windows.
    """
    found: Floats = rows[:, :, -1] - np.median(rows, axis=2)
    return found


def summarised(rows: Floats) -> Floats:
    """Return level, deviation, last value, roughness and range of each channel.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, C, T)
        Standardised windows.

    Returns
    -------
    ndarray of float64, shape (n, 5·C)
        The mean; the standard deviation; the last value minus the mean; the mean absolute step from
        point to point; the highest value minus the lowest.
    """
    level = rows.mean(axis=2)
    return np.concatenate(
        [
            level,
            rows.std(axis=2),
            rows[:, :, -1] - level,
            np.abs(np.diff(rows, axis=2)).mean(axis=2),
            np.ptp(rows, axis=2),
        ],
        axis=1,
    )
