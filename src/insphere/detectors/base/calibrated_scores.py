"""p-values, severities, alarms and z-scores of every detector."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from insphere.errors import SpecError
from insphere.modalities.modality import Modality
from insphere.scoring.alarms import AlarmSet, alarm_set
from insphere.scoring.anomalous_share import AnomalousShare, anomalous_share
from insphere.scoring.conformal import Calibration, few_groups, guarantee, is_cross
from insphere.scoring.pvalues import conformal_p_values
from insphere.scoring.severity import SeverityScale, Tail
from insphere.scoring.strata import GroupedScores, group_names
from insphere.scoring.zscores import z_scores


class CalibratedScores:
    """Compares scores with those of held-out calibration images; a part of `OneClassDetector`."""

    false_alarm_rate: float | None
    calibration: float | int | str
    threshold_: float
    threshold_rule_: str
    n_train_: int
    modality_: Modality
    calibration_scores_: NDArray[np.float64]
    n_calibration_: int
    score_mean_: float
    score_std_: float
    tail_: Tail | None
    by_group_: GroupedScores | None

    @abstractmethod
    def anomaly_score(self, X: Any) -> NDArray[np.float64]:
        """Return how anomalous each image is; higher is more anomalous."""

    def z_score(self, X: Any) -> NDArray[np.float64]:
        """Return anomaly scores in standard deviations above the mean of normal images."""
        return z_scores(self.anomaly_score(X), self.score_mean_, self.score_std_)

    def p_value(self, X: Any, strata: Any = None) -> NDArray[np.float64]:
        """Return the p-value of each score: how rare it is among normal images.

        A new normal image that is like the calibration images has a p-value of at most α with
        probability at most α. `predict` gives −1 exactly if it is at most `false_alarm_rate`.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            As in `anomaly_score`.
        strata : array, shape (n,), optional
            The group of each sample, which is then compared with the calibration samples of its
            group, if these are enough for `false_alarm_rate`; else with all.

        Returns
        -------
        ndarray of float64, shape (n,)
            From 1 / (n_calibration_ + 1) to 1; lower is more anomalous.

        Raises
        ------
        SpecError
            If no images were held out, or `strata` are given and `fit` got none.
        """
        self._check_calibrated("p-values")
        scores = self.anomaly_score(X)
        return self.p_values_of(
            scores, None if strata is None else group_names(strata, len(scores))
        )

    def p_values_of(
        self, scores: NDArray[np.float64], groups: NDArray[np.str_] | None = None
    ) -> NDArray[np.float64]:
        """Return the p-values of scores that are computed already; see `p_value`."""
        if groups is None:
            return conformal_p_values(self.calibration_scores_, scores)
        by_group, rate = self._by_group()
        return by_group.p_values(scores, groups, rate)

    def thresholds_for(self, groups: NDArray[np.str_]) -> NDArray[np.float64]:
        """Return the threshold that each sample is compared with if it is judged by its group.

        Parameters
        ----------
        groups : ndarray of str, shape (n,)
            The group of each sample.

        Returns
        -------
        ndarray of float64, shape (n,)
            ``threshold_`` for groups that are unknown, or too small for the false-alarm rate.

        Raises
        ------
        SpecError
            If `fit` got no strata.
        """
        by_group, rate = self._by_group()
        return by_group.thresholds_for(groups, rate, self.threshold_)

    @property
    def group_thresholds(self) -> dict[str, float]:
        """Threshold of each group that can be promised the false-alarm rate; empty without any."""
        if getattr(self, "by_group_", None) is None:
            return {}
        by_group, rate = self._by_group()
        return by_group.thresholds(rate)

    @property
    def group_sentences(self) -> list[str]:
        """What is known of false alarms by group, as sentences; empty without groups."""
        if getattr(self, "by_group_", None) is None:
            return []
        by_group, rate = self._by_group()
        held = self._calibration().kind == "held out"
        share = self.n_calibration_ / (self.n_calibration_ + self.n_train_) if held else None
        return by_group.sentences(rate, share, self.modality_.plural)

    def severity(self, X: Any) -> NDArray[np.float64]:
        """Return −log10 of how rare each score is, continued beyond the calibration images.

        See `insphere.scoring.severity`. Comparable between detectors and classes: 2 is one normal
        image in a hundred, whatever the scores are measured in.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            As in `anomaly_score`.

        Returns
        -------
        ndarray of float64, shape (n,)
            0 or more, never falling as the score rises.

        Raises
        ------
        SpecError
            If no images were held out.
        """
        return self.severity_scale(self.anomaly_score(X))

    def alarms(self, X: Any, false_discovery_rate: float) -> AlarmSet:
        """Select a set of alarms with a controlled false-discovery rate.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images that are decided on together.
        false_discovery_rate : float
            Largest share of false alarms among the alarms, on average, in (0, 1).

        Returns
        -------
        AlarmSet

        Raises
        ------
        SpecError
            If no images were held out, or too few for the rate.
        """
        return alarm_set(self.p_value(X), false_discovery_rate, self.n_calibration_)

    def anomalous_share(self, X: Any) -> AnomalousShare:
        """Estimate which share of the images is anomalous, with an interval.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            At least 20 images that were not trained on.

        Returns
        -------
        AnomalousShare
            See `insphere.scoring.anomalous_share`. Normal images must come about as the calibration
            images did: whatever else makes scores higher, such as other light, counts as well.

        Raises
        ------
        SpecError
            If no images were held out.
        DataError
            If there are fewer than 20 images, or 20 calibration images.
        """
        self._check_calibrated("share of anomalies")
        return anomalous_share(self.calibration_scores_, self.anomaly_score(X))

    @property
    def severity_scale(self) -> SeverityScale:
        """The function from scores to severities, for scores that are computed already."""
        self._check_calibrated("severities")
        return SeverityScale(self.calibration_scores_, self.tail_)

    @property
    def guarantee(self) -> str:
        """The guarantee of the threshold for new normal images, as a sentence."""
        check_is_fitted(self)
        how = self._calibration()
        n = self.n_train_ if how.kind == "none" else self.n_calibration_
        plural = self.modality_.plural
        promised = guarantee(n, how).replace("images", plural)
        groups = getattr(self, "n_calibration_groups_", None)
        if groups is None:
            return promised
        return f"{promised} {few_groups(groups).replace('images', plural)}"

    @property
    def judges(self) -> bool:
        """Whether there is a threshold, and so verdicts; else there were too few images."""
        check_is_fitted(self)
        return math.isfinite(self.threshold_)

    def _by_group(self) -> tuple[GroupedScores, float]:
        """Return the calibration scores by group, and the rate of the threshold."""
        check_is_fitted(self)
        found, rate = getattr(self, "by_group_", None), self._calibration().rate
        if found is None or rate is None:
            raise SpecError(
                "This detector knows no groups: fit it again with strata, or with --group-by on "
                "the command line, and with at least 10 normal samples."
            )
        return found, rate

    def _calibration(self) -> Calibration:
        """Return where the threshold comes from; models saved before do not say it."""
        kind = getattr(self, "calibration_kind_", None)
        if kind is not None:
            return Calibration(kind, getattr(self, "false_alarm_rate_", None))
        if self.false_alarm_rate is None:
            return Calibration("training")
        in_turn = is_cross(self.calibration)
        return Calibration("in turn" if in_turn else "held out", self.false_alarm_rate)

    def require_threshold(self) -> None:
        """Raise SpecError if there are no verdicts, saying how many images they take."""
        if not self.judges:
            raise SpecError(
                f"This detector gives scores but no verdicts, for there is {self.threshold_rule_}; "
                "give more images, or set contamination=0.05 for a threshold without a promise."
            )

    def _check_calibrated(self, what: str) -> None:
        check_is_fitted(self)
        if not self.n_calibration_:
            raise SpecError(
                f"This detector has no {what}, because no images were held out to calibrate it; "
                "fit it again with a false-alarm rate, such as false_alarm_rate=0.05."
            )
