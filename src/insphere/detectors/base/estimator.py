"""The face that every detector shows: a scikit-learn outlier estimator for images and tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from insphere.data.degenerate import check_informative
from insphere.data.inputs import as_images, opened, training_groups, training_images
from insphere.data.value_range import ValueRange, fitted_range, read_values
from insphere.detectors.base.calibrated_scores import CalibratedScores
from insphere.detectors.base.calibration import (
    Groups,
    cross_scores,
    cross_tail,
    deal,
    held_out,
    is_cross,
    trained_parts,
)
from insphere.errors import DataError
from insphere.fingerprint import array_fingerprint
from insphere.scoring.severity import fit_tail
from insphere.scoring.thresholds import (
    check_contamination,
    conformal_threshold,
    contamination_threshold,
)
from insphere.scoring.zscores import score_scale

Array = NDArray[Any]


class OneClassDetector(CalibratedScores, OutlierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Learns what normal looks like and scores how far anything else lies outside.

    A concrete detector takes its own parameters and the four below in its constructor, and
    implements ``_fit``, ``_anomaly_score``, ``_state`` and ``_set_state``; this class does
    everything else: reading the input, holding out calibration images, threshold, verdicts,
    p-values, severity, z-scores, saving.

    Parameters
    ----------
    contamination : float, default=0.05
        Share of the training normals that may lie outside the threshold, in [0, 0.5]. Used if
        `false_alarm_rate` is None.
    false_alarm_rate : float, optional
        Wanted probability, in (0, 1), that a new normal image is called anomalous. Holds out a
        part of the training images and puts the threshold on their scores.
    calibration : float or int, default=0.2
        Share of the training images held out, in (0, 1); or, for small sets, a number of parts
        from 2 on (cross-conformal): for each part a detector is trained on the others, and scores
        are then the number of training images that an image lies beyond; see
        `insphere.detectors.base.calibration`. Used only with `false_alarm_rate`.
    random_state : int, RandomState or None, default=None
        Source of all randomness, consumed in `fit`: an integer makes every fit the same.

    Attributes
    ----------
    offset_ : float
        ``decision_function(X) = score_samples(X) - offset_``.
    threshold_ : float
        The same on the scale of `anomaly_score`: anomalous lies strictly above it.
    threshold_rule_ : str
        Where the threshold comes from, in words.
    score_mean_, score_std_ : float
        Scale of `z_score`, from calibration normals if any were held out, else training normals.
    calibration_scores_ : ndarray of float64, shape (n_calibration_,)
        Ascending anomaly scores of the held-out normals; empty if none were.
    tail_ : Tail or None
        Fitted to the highest of them, for `severity`; None if none were held out.
    parts_ : list of OneClassDetector
        With a number of parts as `calibration`: the detectors that score; else empty.
    n_train_, n_calibration_ : int
        Images trained on and held out.
    n_calibration_groups_ : int or None
        Groups, such as tracks, that those held out are from; None if there are none.
    image_shape_ : tuple (H, W, C) or None
        Shape of one training image; None if it was fitted on a table.
    image_dtype_ : str or None
        "uint8" or "float32"; None if it was fitted on a table. Floats are scored by a detector
        trained on uint8 if they lie between 0 and 1.
    value_range_ : ValueRange or None
        Type of the training images as they came, which range of their values became 0…1, and
        their colours: what later images must fit. None if it was fitted on a table.
    data_fingerprint_ : str
        SHA-256 over shape, type and values of the training data.
    """

    # Parameters that belong to one machine or one run: a saved model has their defaults instead.
    _not_saved: ClassVar[tuple[str, ...]] = ("callbacks", "checkpoint_dir", "device")

    contamination: float
    false_alarm_rate: float | None
    calibration: float | int
    random_state: Any
    value_range_: ValueRange | None

    # ------------------------------------------------------------------ for subclasses

    @abstractmethod
    def _fit(self, X: Array) -> None:
        """Learn from the training normals.

        Parameters
        ----------
        X : ndarray
            Images, uint8 or float32, shape (n, H, W, C), perhaps a memory map; or a table,
            float64, shape (n, d). At least two rows, finite, not all values equal.
            ``self.image_shape_`` is already set.
        """

    @abstractmethod
    def _anomaly_score(self, X: Array) -> Array:
        """Return one score an image (higher is more anomalous), whatever their number.

        X has the form that `_fit` got. Work in batches: it may be a memory map larger than the
        memory.
        """

    @abstractmethod
    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return what ``_anomaly_score`` needs: arrays (or tensors) and JSON values, by name."""

    @abstractmethod
    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Restore what `_state` returned; constructor parameters are already in place."""

    def _training_scores(self, X: Array) -> Array:
        """Return the scores of the images given to `_fit`, as if each were new.

        Override where a training image finds itself among what was stored.
        """
        return self._anomaly_score(X)

    # ------------------------------------------------------------------ public

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from normal images and place the threshold.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Normal images: uint8 or float, N×H×W or N×H×W×C; a folder or file of them; or a
            numeric table, N×d. Calibration holds out whole groups of an `ImageSet` that has any.
        y : Ignored
            Here because scikit-learn passes it; labels are never looked at.

        Returns
        -------
        self

        Raises
        ------
        DataError
            If the data cannot be read, there are fewer than two images, or all values are equal.
        SpecError
            If a parameter is out of range, or `false_alarm_rate` is finer than the number of
            held-out images can promise.
        """
        self.__dict__.pop("trained_on_", None)  # speaks of an earlier fit
        X = opened(X)
        data, groups = self._read(X, fitting=True), training_groups(X)
        n = len(data)
        check_informative(data)
        rate = self.false_alarm_rate
        in_turn = rate is not None and is_cross(self.calibration)
        mask = None if in_turn else self._held_out(n, groups)
        self.value_range_ = fitted_range(data, None if mask is None else ~mask)
        data = data if self.value_range_ is None else self.value_range_.take(data)
        self.data_fingerprint_ = array_fingerprint(data)
        self.image_shape_ = tuple(int(side) for side in data.shape[1:]) if data.ndim == 4 else None
        self.image_dtype_ = data.dtype.name if data.ndim == 4 else None
        self.parts_ = self._trained_parts(data, groups) if in_turn else []
        train = data if mask is None else data[~mask]
        self.n_train_ = len(train)
        self._fit(train)

        if rate is None:
            reference = self._checked(self._training_scores(train), len(train))
            self.calibration_scores_ = np.empty(0)
            self.threshold_ = contamination_threshold(reference, self.contamination)
            self.threshold_rule_ = (
                f"at most {100 * self.contamination:g} % of the training normals lie outside"
            )
        else:
            if in_turn:
                reference = np.arange(1.0, len(data) + 1)
                how = f"about {100 * rate:g} % on normals left out in turn (cross-conformal"
            else:
                new = data[mask]
                reference = self._checked(self._anomaly_score(new), len(new))
                how = f"≤ {100 * rate:g} % on held-out normals (conformal"
            self.calibration_scores_ = np.sort(reference)
            self.threshold_ = conformal_threshold(reference, rate)
            self.threshold_rule_ = f"false-alarm rate {how}, n = {len(reference)})"
        self.n_calibration_ = n = len(self.calibration_scores_)
        if groups is None or not n:
            self.n_calibration_groups_ = None
        else:
            self.n_calibration_groups_ = len(np.unique(groups if mask is None else groups[mask]))
        self.tail_ = None if not n else cross_tail(n) if in_turn else fit_tail(reference)
        self.offset_ = -self.threshold_
        self.score_mean_, self.score_std_ = score_scale(reference)
        return self

    def anomaly_score(self, X: Any) -> NDArray[np.float64]:
        """Return how anomalous each image is; higher is more anomalous.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            As in `fit`, and of the same shape as the training images.

        Returns
        -------
        ndarray of float64, shape (n,)

        Raises
        ------
        DataError
            If the images have another shape than those trained on.
        """
        check_is_fitted(self)
        data = self._read(X, fitting=False)
        return self._score_read(data)

    def outside_range(self, X: Any) -> NDArray[np.bool_]:
        """Return which images hold values that lie outside the range of the training images.

        Such values were set to the end of the range before scoring. Images of 8 bits have none.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            As in `anomaly_score`.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        check_is_fitted(self)
        data = as_images(X)
        values = getattr(self, "value_range_", None)
        if values is None or getattr(data, "ndim", None) != 4:
            return np.zeros(len(data), dtype=bool)
        return values.outside(data)  # type: ignore[no-any-return]

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return ``-anomaly_score(X)``: higher is more normal (scikit-learn's convention)."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return ``score_samples(X) - offset_``: negative is anomalous."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return +1 for each normal and -1 for each anomalous image."""
        return np.where(self.decision_function(X) >= 0, 1, -1).astype(np.int64)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the fitted detector to a folder; see `insphere.detectors.save_detector`."""
        from insphere.detectors.persistence.model_folder import save_detector

        return save_detector(self, path, overwrite=overwrite)

    # ------------------------------------------------------------------ inside

    def _read(self, X: Any, *, fitting: bool) -> Array:
        """Return images as N×H×W×C or a table as float64 N×d, checked against the training."""
        trained_on = None if fitting else self.image_shape_
        if getattr(X, "ndim", None) in (0, 1) and trained_on is None:
            data = X  # scikit-learn says best what a table should look like
        else:
            data = training_images(X) if fitting else as_images(X)
        if getattr(data, "ndim", None) != 4:
            if trained_on is not None:
                raise DataError(
                    f"The detector was trained on images of {_shape(trained_on)}, but got a table."
                )
            table: Array = validate_data(
                self, data, dtype=np.float64, reset=fitting, ensure_min_samples=1 + fitting
            )
            return table
        if fitting:
            if len(data) < 2:
                raise DataError(
                    f"Training needs at least 2 normal images, but got n_samples = {len(data)}."
                )
            # A table fitted before leaves these behind.
            for name in ("n_features_in_", "feature_names_in_"):
                self.__dict__.pop(name, None)
        elif trained_on is None:
            raise DataError("The detector was trained on a table, but got images.")
        elif data.shape[1:] != trained_on:
            raise DataError(
                f"The detector was trained on images of {_shape(trained_on)}, but these are "
                f"{_shape(data.shape[1:])}; resize or convert them first."
            )
        else:
            data = read_values(data, getattr(self, "value_range_", None), self.image_dtype_)
        return np.asanyarray(data)

    def _score_read(self, data: Array) -> NDArray[np.float64]:
        """Return the scores of samples that `_read` returned."""
        if self.parts_:
            return cross_scores(self.parts_, data)
        return self._checked(self._anomaly_score(data), len(data))

    def _read_images(self, X: Any) -> Array:
        """Return images as N×H×W×C for a heat map, or say that a table has none."""
        check_is_fitted(self)
        if self.image_shape_ is None:
            raise DataError("Only images have heat maps, and this detector was fitted on a table.")
        return self._read(X, fitting=False)

    def _held_out(self, n: int, groups: Groups) -> NDArray[np.bool_] | None:
        """Choose the images to hold out, if any are wanted."""
        if self.false_alarm_rate is None:
            check_contamination(self.contamination)
            return None
        is_cross(self.calibration)
        return held_out(n, self.false_alarm_rate, self.calibration, self.random_state, groups)

    def _trained_parts(self, data: Array, groups: Groups) -> list[OneClassDetector]:
        """Train one detector for each part of the images, on the others."""
        assert self.false_alarm_rate is not None
        parts = int(self.calibration)
        masks = deal(len(data), self.false_alarm_rate, parts, self.random_state, groups)
        return trained_parts(self, data, masks)

    def _checked(self, scores: Array, n: int) -> NDArray[np.float64]:
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != (n,):
            raise RuntimeError(
                f"{type(self).__name__} returned scores of shape {values.shape} for {n} samples."
            )
        return values


def batches(X: Array, size: int) -> Iterator[Array]:
    """Yield consecutive parts of at most `size` rows."""
    for start in range(0, len(X), size):
        yield X[start : start + size]


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(str(side) for side in shape)
