"""The base class of all detectors: a scikit-learn outlier estimator for images and tables."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from insphere.data.column_scale import RESOLUTION, changed_sentence, fitted_columns
from insphere.data.inputs import as_images, training_groups
from insphere.data.value_range import fitted_range, read_values
from insphere.detectors.base.calibrated_scores import CalibratedScores
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.base.savable import Savable
from insphere.errors import DataError, SpecError
from insphere.modalities.modality import Modality
from insphere.modalities.table import kind_of_input
from insphere.resources import within_cores
from insphere.scoring.conformal import (
    USUAL_PARTS,
    Calibration,
    calibration_for_rate,
    cross_scores,
    cross_tail,
    deal,
    held_out,
    in_unit_of,
    is_cross,
    no_threshold,
    usual_calibration,
)
from insphere.scoring.severity import fit_tail
from insphere.scoring.strata import GroupedScores, group_names
from insphere.scoring.thresholds import (
    check_contamination,
    conformal_threshold,
    contamination_threshold,
)
from insphere.scoring.zscores import score_scale
from insphere.training.training_set import TrainingSet

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]


@parameters
class OneClassDetector(CalibratedScores, Savable, OutlierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A detector: it is fitted to normal samples and scores new ones; higher is more anomalous.

    A concrete detector takes its own parameters and the four below in its constructor (see
    `insphere.detectors.base.parameters`), describes itself in its `card`, and implements
    ``_fit``, ``_anomaly_score``, ``_state`` and ``_set_state``. This class does
    everything else: reading the input, holding out calibration images, threshold, verdicts,
    p-values, severity, z-scores, saving.

    Parameters
    ----------
    contamination : float, optional
        Share of the training normals that may lie outside the threshold, in [0, 0.5]: a threshold
        on the training images, which promises nothing about new ones. Used if `false_alarm_rate`
        is None.
    false_alarm_rate : float, optional
        Wanted probability, in (0, 1), that a new normal image is called anomalous. Holds out a
        part of the training images and puts the threshold on their scores. If neither this nor
        `contamination` is given, the number of normal images decides: from 95 on, a fifth is held
        out for a rate of 5 %; from 10 on, the threshold is estimated with detectors trained
        without a part of the images; fewer give scores without verdicts. See
        `insphere.scoring.conformal.usual_calibration`.
    calibration : float, int or "auto", default="auto"
        Share of the training images held out, in (0, 1); "auto" is a fifth, of few images up to a
        third, and of fewer an estimate (`insphere.scoring.conformal.calibration_for_rate`); or, for
        small sets, a number of parts from 2 on (cross-conformal): for each part a detector is
        trained on the others, and scores are then the number of training images that an image lies
        beyond; see `insphere.scoring.conformal`. Used only with `false_alarm_rate`.
    random_state : int, RandomState or None, default=None
        Seed of all randomness, which is used in `fit` only. An integer makes fits reproducible.

    Attributes
    ----------
    offset_ : float
        ``decision_function(X) = score_samples(X) - offset_``.
    threshold_ : float
        The same on the scale of `anomaly_score`: anomalous lies strictly above it. Infinite if
        there were too few images to promise a rate: `predict` and `decision_function` then refuse.
    threshold_rule_ : str
        How the threshold was placed, in words.
    score_mean_, score_std_ : float
        Mean and standard deviation for `z_score`, of the calibration images if there are any,
        else of the training images.
    calibration_scores_ : ndarray of float64, shape (n_calibration_,)
        Anomaly scores of the calibration images in ascending order; empty without calibration.
    tail_ : Tail or None
        Tail fitted to the highest of these scores, for `severity`; None without calibration.
    parts_ : list of OneClassDetector
        The detectors of a cross-conformal calibration; else empty.
    n_train_, n_calibration_ : int
        Numbers of training images and of calibration images.
    n_calibration_groups_ : int or None
        Number of groups, such as tracks, of the calibration images; None without groups.
    by_group_ : GroupedScores or None
        The calibration scores by the groups that were given as `strata`; None without any.
    modality_ : Modality
        Kind of the training data, with the properties of its samples.
    image_shape_ : tuple (H, W, C) or None
        Shape of one training image; None if it was fitted on a table.
    image_dtype_ : str or None
        "uint8" or "float32"; None if it was fitted on a table. Floats are scored by a detector
        trained on uint8 if they lie between 0 and 1.
    value_range_ : ValueRange or None
        Type of the training images as they came, which range of their values became 0…1, and
        their colours: what later images must fit. None if it was fitted on a table.
    column_scale_ : ColumnScale or None
        Centre and unit of each column of the training table, robust; every row is measured on it
        before anything else is done. None if it was fitted on images.
    data_fingerprint_ : str
        SHA-256 over shape, type and values of the training data, and of labels and weights used.
    trained_on_ : TrainedOn or None
        Origin of the training data, if it was recorded.
    """

    card: ClassVar[MethodCard] = MethodCard()

    contamination: float | None = None
    false_alarm_rate: float | None = None
    calibration: float | int | str = "auto"
    random_state: Any = None

    # ------------------------------------------------------------------ for subclasses

    # What `_fit` takes beside the samples, as keywords: names of
    # `insphere.training.training_set.KNOWN`. Labels are read by `_read_labels`; weights need the
    # `fit` of `insphere.detectors.base.weights.WeightedDetector`.
    _takes: ClassVar[tuple[str, ...]] = ()

    # Whether `scoring_module` has gradients that say which pixels make a score high.
    has_gradients: ClassVar[bool] = False

    # Whether `_training_scores` gives scores that each image would get were it not trained on.
    _scores_as_if_new: ClassVar[bool] = False

    # Parts of a cross-validation of the threshold; and whether the unit of the scores is that of
    # the first weights, whatever is trained on.
    _folds: ClassVar[int] = USUAL_PARTS
    _fixed_unit: ClassVar[bool] = False

    @abstractmethod
    def _fit(self, X: Array) -> Array | None:
        """Train on the samples.

        Parameters
        ----------
        X : ndarray
            Images, uint8 or float32, shape (n, H, W, C), perhaps a memory map; or a table,
            float64, shape (n, d), whose columns are centred and scaled. At least two rows, finite,
            not all values equal. ``self.modality_`` is already set.
        **known
            Those of labels, groups and weights that ``_takes`` names; None where none were given.

        Returns
        -------
        ndarray, shape (n,), or None
            The scores that `_training_scores` would give, if they are known already.
        """

    def _read_labels(self, y: Any) -> tuple[Array | None, NDArray[np.bool_] | None]:
        """Check labels; called only if ``_takes`` names them.

        It must accept its own result, because the detectors of a cross-conformal calibration get
        parts of it.

        Returns
        -------
        labels : ndarray, shape (n,), or None
            In the form that `_fit` takes.
        normal : ndarray of bool, shape (n,), or None
            Which samples count as normal. Calibration and threshold use only these. None: all.
        """
        raise NotImplementedError

    @abstractmethod
    def _anomaly_score(self, X: Array) -> Array:
        """Return one score for each image; higher is more anomalous.

        X has the same form as in `_fit`. Work in batches, because it can be a memory map that is
        larger than the memory.
        """

    def _training_scores(self, X: Array) -> Array:
        """Return the scores of the training images, as if each were new.

        Override this if a stored training image would be compared with itself.
        """
        return self._anomaly_score(X)

    def _module(self) -> nn.Module:
        """Return the module that `scoring_module` documents, on scaled columns for tables.

        Raises
        ------
        SpecError
            If scoring is more than one pass through a module; the message says why.
        """
        raise SpecError(f"{type(self).__name__} has no form as one module.")

    def _map_module(self) -> nn.Module | None:
        """Return the module that `map_module` documents."""
        return None

    # ------------------------------------------------------------------ public

    @within_cores()
    def fit(
        self, X: Any, y: Any = None, *, groups: Any = None, strata: Any = None, **known: Any
    ) -> Self:
        """Train on normal images and place the threshold.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Normal images: uint8 or float, N×H×W or N×H×W×C; a folder or file of them; or a
            numeric table, N×d.
        y : Ignored
            Present for compatibility with scikit-learn. Only detectors that document it use labels.
        groups : array, shape (n,), optional
            Whole numbers or strings. Samples of one group, such as frames of one track, are held
            out for calibration together or not at all. By default those of an `ImageSet` that has
            any.
        strata : array, shape (n,), optional
            Whole numbers or strings: the group in which each sample's false alarms are counted,
            such as its camera, shift or product. The same share of each is held out. `by_group_`
            then says how the groups differ, and `predict` with `strata` keeps the promised rate
            in each.
        **known
            `sample_weight`, for detectors that take it.

        Returns
        -------
        self

        Raises
        ------
        DataError
            If the data cannot be read, there are fewer than two images, or all values are equal.
        SpecError
            If a parameter is out of range, or there are too few calibration images for
            `false_alarm_rate`; or `strata` are given and the threshold has no calibration scores
            that belong to single samples.
        """
        train, modality = self._training_set(X, y, groups, self._given_weights(known))
        if strata is not None:
            names = group_names(strata, len(train), modality.plural)
            train = replace(train, strata=names)
        modality.check_varied(train.normals.data)
        return self._fit_samples(train, modality)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a fit came to its end: an interrupted or refused one leaves other attributes."""
        return hasattr(self, "threshold_")

    def _fit_samples(self, train: TrainingSet, modality: Modality) -> Self:
        """Train on samples that were read, and place the threshold."""
        how = self.planned_calibration(len(train.normals), train.normals.groups)
        rate, in_turn = how.rate, how.kind == "in turn"
        in_parts = how.kind == "cross-validated"
        if train.strata is not None and how.kind in ("training", "in turn"):
            raise SpecError(
                "False alarms are counted by group on calibration samples: leave out contamination "
                "and a number of parts as calibration, or leave out strata."
            )
        mask = self._held_out(train.normals, how)
        self.data_fingerprint_ = train.fingerprint
        among = train.normal if mask is None else train.among_all(~mask)
        self.value_range_ = fitted_range(train.data, among)
        if self.value_range_ is not None:
            train = replace(train, data=self.value_range_.take(train.data))
        self.column_scale_ = fitted_columns(train.data, among)
        if self.column_scale_ is not None:
            train = replace(train, data=self.column_scale_.take(train.data))
        normals = train.normals
        self.modality_, self.trained_on_ = modality.prepared(train.data), None
        parts, masks = self._trained_parts(train, how, modality) if how.needs_parts else ([], [])
        self.parts_ = parts if in_turn else []
        held = None if mask is None else normals.take(mask)
        train = train if mask is None else train.take(~train.among_all(mask))
        self.n_train_, self.by_group_ = len(train), None
        self._held_out_of_normals, self._scores_of_normals = mask, None
        scores = self._fit(train.data, **train.known(self._takes))

        if how.kind in ("training", "left out", "cross-validated", "none"):
            if scores is None:
                scores = self._training_scores(train.normals.data)
            elif train.normal is not None:
                scores = scores[train.normal]
            reference = self._checked(scores, len(train.normals))
            self._weigh_changes(reference)
            self._scores_of_normals = reference
        if how.kind == "training":
            assert self.contamination is not None
            self.calibration_scores_ = np.empty(0)
            self.threshold_ = contamination_threshold(reference, self.contamination)
            self.threshold_rule_ = (
                f"at most {100 * self.contamination:g} % of the training normals lie outside"
            )
        elif rate is None:
            self.calibration_scores_ = np.empty(0)
            said = no_threshold(len(reference)).replace("images", self.modality_.plural)
            self.threshold_, self.threshold_rule_ = float("inf"), said
        else:
            if in_parts:
                held = normals
                reference = self._as_if_new(normals.data, reference, parts, masks)
                self._scores_of_normals = reference
                said = f"about {100 * rate:g} % on normals scored by others (cross-validated"
            elif how.kind == "left out":
                held = normals
                said = f"about {100 * rate:g} % on normals scored without themselves (left out"
            elif held is None:
                held = normals
                reference = np.arange(1.0, len(held) + 1)
                said = f"about {100 * rate:g} % on normals left out in turn (cross-conformal"
            else:
                reference = self._checked(self._anomaly_score(held.data), len(held))
                if self.column_scale_ is not None:  # changed columns count in the scores
                    self._weigh_changes(reference)
                    reference = reference + self.column_scale_.added(held.data)
                said = f"≤ {100 * rate:g} % on held-out normals (conformal"
            order = np.argsort(reference, kind="stable")
            self.calibration_scores_ = reference[order]
            if held.strata is not None:
                strata, codes = np.unique(held.strata[order], return_inverse=True)
                self.by_group_ = GroupedScores(
                    self.calibration_scores_, codes.astype(np.int64), strata.tolist()
                )
            self.threshold_ = conformal_threshold(reference, rate)
            self.threshold_rule_ = f"false-alarm rate {said}, n = {len(reference)})"
        self.calibration_kind_, self.false_alarm_rate_ = how.kind, rate
        self.n_calibration_ = n = len(self.calibration_scores_)
        held_groups = None if held is None else held.groups
        self.n_calibration_groups_ = None if held_groups is None else len(np.unique(held_groups))
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
            If the shape of the images differs from that of the training images.
        """
        check_is_fitted(self)
        data = self._read(X)
        counts = self._changed(data)
        if counts := {p: n for p, n in counts.items() if not self.modality_.announced(p)}:
            warnings.warn(self._changed_sentence(counts, len(data)), stacklevel=2)
        return self._score_read(data)

    def scores_of_normals(self, X: Any) -> NDArray[np.float64]:
        """Return the scores of the normal samples that `fit` got, as if each were new.

        A detector that stores training images would find each among them. Right after `fit` only:
        which samples were held out is not saved.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            The samples of `fit`, without labelled anomalies.

        Returns
        -------
        ndarray of float64, shape (n,)
            As far as the detector can tell: a network that was trained on a sample scores it a
            little lower than a new one.

        Raises
        ------
        DataError
            If they are not as many as `fit` got.
        """
        check_is_fitted(self)
        if (known := getattr(self, "_scores_of_normals", None)) is not None:
            return np.array(known)
        data = self._read(X)
        mask = getattr(self, "_held_out_of_normals", None)
        if mask is None:
            return self._checked(self._training_scores(data), len(data))
        if len(mask) != len(data):
            raise DataError(
                f"fit got {len(mask)} normal samples, but got {len(data)} here: give the same."
            )
        scores = np.empty(len(data))
        scores[mask] = self._score_read(data[mask])
        scores[~mask] = self._checked(self._training_scores(data[~mask]), int((~mask).sum()))
        return scores

    def changed_columns(self, X: Any) -> dict[str | int, int]:
        """Return which columns of a table were constant in training and are not in these rows.

        Each lifts the score of a row in which it changed above those of all normal rows.

        Parameters
        ----------
        X : table
            As in `anomaly_score`.

        Returns
        -------
        dict
            Name of the column, or its position if columns have no names, and the number of rows in
            which it changed. Empty for images.
        """
        check_is_fitted(self)
        counts = self._changed(self._read(X))
        return {self._column(position): count for position, count in counts.items()}

    def planned_calibration(self, n: int, groups: NDArray[np.int64] | None = None) -> Calibration:
        """Return how `fit` will find the threshold for so many normal samples, and at what cost.

        Parameters
        ----------
        n : int
            Number of normal samples.
        groups : ndarray of int64, shape (n,), optional
            Samples of one group stay together.

        Raises
        ------
        SpecError
            If a parameter is out of range.
        """
        auto = isinstance(self.calibration, str)
        if auto and self.calibration != "auto":
            is_cross(self.calibration)  # says what it can be
        rate = self.false_alarm_rate
        if rate is not None and auto:
            return calibration_for_rate(
                n,
                rate,
                groups,
                parts=self._folds,
                in_turn=not self.card.needs_labels,
                left_out=self._scores_as_if_new,
            )
        if rate is not None:
            amount: Any = self.calibration
            return Calibration("in turn" if is_cross(amount) else "held out", rate, amount)
        if self.contamination is not None:
            check_contamination(self.contamination)
            return Calibration("training")
        return usual_calibration(
            n,
            groups,
            parts=self._folds,
            in_turn=not self.card.needs_labels,
            left_out=self._scores_as_if_new,
        )

    def outside_range(self, X: Any) -> NDArray[np.bool_]:
        """Return which images hold values outside the range of the training images, shape (n,).

        Such values are clipped to the range before scoring. Images of 8 bits have none.
        """
        check_is_fitted(self)
        data = as_images(X)
        if self.value_range_ is None or getattr(data, "ndim", None) != 4:
            return np.zeros(len(data), dtype=bool)
        return self.value_range_.outside(data)

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return ``-anomaly_score(X)``: higher is more normal (scikit-learn's convention)."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any, strata: Any = None) -> NDArray[np.float64]:
        """Return ``score_samples(X) - offset_``: negative is anomalous.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            As in `anomaly_score`.
        strata : array, shape (n,), optional
            The group of each sample, which is then compared with the threshold of its group; see
            `thresholds_for`.
        """
        self.require_threshold()
        if strata is None:
            return self.score_samples(X) - self.offset_
        scores = self.anomaly_score(X)
        return self.thresholds_for(group_names(strata, len(scores))) - scores

    def predict(self, X: Any, strata: Any = None) -> NDArray[np.int64]:
        """Return +1 for each normal and -1 for each anomalous image.

        Parameters
        ----------
        X, strata
            As in `decision_function`.
        """
        return np.where(self.decision_function(X, strata) >= 0, 1, -1).astype(np.int64)

    def scoring_module(self) -> nn.Module:
        """Return the torch module from raw samples to anomaly scores, preprocessing included.

        Use it for attribution, attacks and export. Its values equal those of `anomaly_score`,
        except for rounding in the number format of the network.
        With a number of parts as `calibration`, it is the score of the detector trained on all
        images, which `anomaly_score` compares with that of the parts.

        Returns
        -------
        torch.nn.Module
            In evaluation mode, on the detector's device; it shares its weights with the detector.
            Takes images N×C×H×W, uint8 or floats from 0 to 1 (on the scale of the training images
            if these were floats), or rows N×F of a table; returns (N,). Any N; height, width and
            channels are those of the training images. Floats have gradients, except for isolation
            forests.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the detector is not fitted.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from insphere import DeepSVDD
        >>> rows = np.random.default_rng(0).normal(size=(50, 4))
        >>> detector = DeepSVDD(epochs=1, pretrain_epochs=0, random_state=0).fit(rows)
        >>> scores = detector.scoring_module()(torch.from_numpy(rows))
        >>> bool(np.allclose(scores.detach(), detector.anomaly_score(rows)))
        True
        """
        check_is_fitted(self)
        module, columns = self._module(), self.column_scale_
        if columns is not None:
            from insphere.preprocess.columns import OnScaledColumns

            module = OnScaledColumns(columns.saved(), RESOLUTION, module)
        return module.eval()

    def map_module(self) -> nn.Module | None:
        """Return the torch module from raw images to heat maps; None if there is none.

        Returns
        -------
        torch.nn.Module or None
            Takes what `scoring_module` takes; returns the values of ``anomaly_map``, float32,
            (N, H, W).
        """
        check_is_fitted(self)
        module = self._map_module() if self.image_shape_ is not None else None
        return None if module is None else module.eval()

    @property
    def image_shape_(self) -> tuple[int, int, int] | None:
        """Height, width and channels of one training image; None if it was fitted on others."""
        return self.modality_.image_shape

    @property
    def image_dtype_(self) -> str | None:
        """Name of the number format of the training images; None if it was fitted on others."""
        return self.modality_.image_dtype

    @property
    def not_exported(self) -> str:
        """Why it cannot be exported, as the end of a sentence; empty if it can."""
        return ""

    @property
    def fills_canvas(self) -> bool:
        """Whether it can be exported only for images that fill their canvas."""
        return False

    @property
    def uses_pretrained(self) -> bool:
        """Whether each image is processed by a pretrained network, which is slow."""
        return self.card.needs_pretrained

    # ------------------------------------------------------------------ inside

    def _read(self, X: Any) -> Array:
        """Return samples as one array, checked against the training samples."""
        kind, trained = kind_of_input(X), self.modality_
        if not isinstance(trained, kind):
            raise DataError(
                f"The detector was trained on {trained.describe()}, but got {kind.noun}."
            )
        return self._on_scale(trained.new(X, self))

    def _on_scale(self, data: Array) -> Array:
        """Return samples that were read on the scale of the training samples."""
        if self.column_scale_ is not None:
            return self.column_scale_.take(data)
        return read_values(data, self.value_range_, self.image_dtype_)

    @within_cores()
    def _score_read(self, data: Array) -> NDArray[np.float64]:
        """Return the scores of samples in the form of `_read`."""
        if self.parts_:
            return cross_scores(
                [part._score_read(part._on_scale(data)) for part in self.parts_],
                [part.severity_scale for part in self.parts_],
            )
        scores = self._checked(self._anomaly_score(data), len(data))
        return scores if self.column_scale_ is None else scores + self.column_scale_.added(data)

    def _weigh_changes(self, scores: NDArray[np.float64]) -> None:
        """Let a constant column that changes lift a row above all of these scores."""
        if self.column_scale_ is not None:
            self.column_scale_ = self.column_scale_.measured_by(scores)

    def _changed(self, data: Array) -> dict[int, int]:
        return {} if self.column_scale_ is None else self.column_scale_.changed(data)

    def _column(self, position: int) -> str | int:
        if (name := self.modality_.feature_name(position)) is not None:
            return name
        names = getattr(self, "feature_names_in_", None)
        return position if names is None else str(names[position])

    def _changed_sentence(self, counts: dict[int, int], n: int) -> str:
        assert self.column_scale_ is not None
        named = {self._column(position): count for position, count in counts.items()}
        return changed_sentence(named, self.column_scale_.center[list(counts)].tolist(), n)

    def _read_images(self, X: Any) -> Array:
        """Return images as N×H×W×C for heat maps. Other data raise DataError."""
        check_is_fitted(self)
        if not self.modality_.has_maps:
            noun = self.modality_.noun
            raise DataError(f"Only images have heat maps, and this detector was fitted on {noun}.")
        return self._read(X)

    def _require_images(self, instead: str) -> None:
        """Refuse to be fitted to anything but images, and name what to use instead."""
        if self.image_shape_ is None:
            raise DataError(
                f"{type(self).__name__} takes images, but got {self.modality_.noun}; {instead}"
            )

    def _training_set(
        self, X: Any, y: Any, groups: Any, weights: NDArray[np.float64] | None
    ) -> tuple[TrainingSet, Modality]:
        """Read the training samples with labels, groups and weights, and detect their kind."""
        kind = kind_of_input(X)
        self._check_kind(kind)
        X = kind.opened(X)
        data, modality = kind.learned(X, self)
        labels, normal = self._labels_of(y)
        groups = training_groups(X) if groups is None else _groups(groups)
        for values, what in ((labels, "labels in y"), (groups, "groups"), (weights, "weights")):
            if values is not None and len(values) != len(data):
                raise DataError(f"There are {len(data)} {kind.plural}, but {len(values)} {what}.")
        if weights is not None and (weights == weights[0]).all():
            weights = None  # the same to the last bit
        return TrainingSet(data, labels, groups, weights, normal), modality

    def _labels_of(self, y: Any) -> tuple[Array | None, NDArray[np.bool_] | None]:
        """Return what `_read_labels` does, or nothing if the detector uses no labels."""
        return self._read_labels(y) if "labels" in self._takes else (None, None)

    def _check_kind(self, kind: type[Modality]) -> None:
        """Refuse a kind of data that only detectors made for it take."""
        if kind.needs_own and kind.key not in self.card.takes:
            raise DataError(
                f"{type(self).__name__} takes {' and '.join(self.card.takes)}, but got "
                f"{kind.noun}; a method for these is {kind.method}."
            )

    def _given_weights(self, known: dict[str, Any]) -> NDArray[np.float64] | None:
        """Return the weights from the further arguments of `fit`."""
        name = type(self).__name__
        unknown = sorted(set(known) - {"sample_weight"})
        if unknown:
            raise TypeError(f"{name}.fit() got an unexpected keyword argument {unknown[0]!r}")
        if (given := known.get("sample_weight")) is None:
            return None
        if "weights" not in self._takes:
            raise SpecError(
                f"{name} cannot weigh its training samples: leave out sample_weight, or use a "
                "detector that takes it, such as DeepSVDD."
            )
        return checked_weights(given)

    def _held_out(self, normals: TrainingSet, how: Calibration) -> NDArray[np.bool_] | None:
        """Choose the normal samples to hold out, if any are wanted."""
        if how.kind != "held out":
            return None
        assert how.rate is not None
        return held_out(
            len(normals), how.rate, how.amount, self._split_seed, normals.groups, normals.strata
        )

    @property
    def _split_seed(self) -> Any:
        """What decides which samples are held out: by default always the same.

        So a method that draws nothing itself gives the same detector again without a seed.
        """
        by_number = self.false_alarm_rate is None
        return 0 if by_number and self.random_state is None else self.random_state

    def _trained_parts(
        self, train: TrainingSet, how: Calibration, modality: Modality
    ) -> tuple[list[OneClassDetector], list[NDArray[np.bool_]]]:
        """Train one detector for each part of the normal samples, on the others.

        Returns
        -------
        parts : list of OneClassDetector
            With the scores of their own parts as calibration.
        masks : list of ndarray of bool, shape (n,)
            Which of the normal samples each was not trained on.
        """
        assert how.rate is not None
        parts, normals = int(how.amount), train.normals
        masks = deal(len(normals), how.rate, parts, self._split_seed, normals.groups)
        params = self.get_params(deep=False) | {"false_alarm_rate": None, "contamination": 0.0}
        if "callbacks" in params:
            params["callbacks"] = ()  # they follow the training on all images
        found = []
        for mask in map(train.among_all, masks):
            others = train.take(~mask)
            part = type(self)(**params)
            labels, normal = part._labels_of(others.labels)
            others = replace(others, labels=labels, normal=normal, groups=None, strata=None)
            part._fit_samples(others, modality)
            held = part._on_scale(train.data[mask])
            part.calibration_scores_ = np.sort(part._score_read(held))
            part.n_calibration_ = int(mask.sum())
            part.tail_ = fit_tail(part.calibration_scores_)
            found.append(part)
        return found, masks

    def _as_if_new(
        self,
        normals: Array,
        own: NDArray[np.float64],
        parts: list[OneClassDetector],
        masks: list[NDArray[np.bool_]],
    ) -> NDArray[np.float64]:
        """Estimate the score of each normal sample had this detector not been trained on it."""
        scores = np.empty(len(normals))
        for part, mask in zip(parts, masks, strict=True):
            outside = part._score_read(part._on_scale(normals[mask]))
            if not self._fixed_unit:
                inside = part._training_scores(part._on_scale(normals[~mask]))
                outside = in_unit_of(outside, inside, own[~mask])
            scores[mask] = outside
        return scores

    def _checked(self, scores: Array, n: int) -> NDArray[np.float64]:
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != (n,):
            raise RuntimeError(
                f"{type(self).__name__} returned scores of shape {values.shape} for {n} samples."
            )
        return values


def _groups(groups: Any) -> NDArray[np.int64]:
    """Return groups as whole numbers."""
    names = np.asarray(groups)
    if names.ndim != 1 or names.dtype.kind not in "iubUO":
        raise DataError(
            "groups holds one whole number or string for each training image, but got an array of "
            f"{names.dtype} with shape {names.shape}."
        )
    names = names.astype(str) if names.dtype.kind == "O" else names
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def checked_weights(given: Any) -> NDArray[np.float64]:
    """Return weights of samples as an array.

    Raises
    ------
    DataError
        If they are not one finite number, 0 or more, for each sample; or if all are 0.
    """
    try:
        weights = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"sample_weight holds numbers, but got {given!r}.") from error
    if weights.ndim == 0:
        weights = weights[None]
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
        raise DataError(
            "sample_weight holds one finite number from 0 on for each training image, but got "
            f"an array of shape {weights.shape}."
        )
    if not weights.any():
        raise DataError("All weights in sample_weight are zero, so there is nothing to train on.")
    return weights


def batches(X: Array, size: int) -> Iterator[Array]:
    """Yield consecutive parts of at most `size` rows."""
    for start in range(0, len(X), size):
        yield X[start : start + size]
