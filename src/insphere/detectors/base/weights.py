"""The base of detectors that accept weights of samples."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from insphere.detectors.base.estimator import OneClassDetector


class WeightedDetector(OneClassDetector):
    """A detector whose ``_fit`` takes ``weights``.

    scikit-learn detects in the signature of `fit` whether an estimator accepts weights.
    """

    _takes: ClassVar[tuple[str, ...]] = ("weights",)

    def fit(  # type: ignore[override]  # it names the one further argument there is
        self,
        X: Any,
        y: Any = None,
        *,
        groups: Any = None,
        strata: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Train on normal images and place the threshold.

        Parameters
        ----------
        X, y, groups, strata
            As in `OneClassDetector.fit`.
        sample_weight : array, shape (n,), optional
            Weight of each training sample in the mean that is minimised: 0 or more, on any scale.
            Equal weights are the same as none. Threshold and calibration do not use weights.

        Returns
        -------
        self
        """
        return super().fit(X, y, groups=groups, strata=strata, sample_weight=sample_weight)
