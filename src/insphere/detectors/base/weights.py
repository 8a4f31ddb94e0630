"""Detectors whose training can weigh samples."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from insphere.detectors.base.estimator import OneClassDetector


class WeightedDetector(OneClassDetector):
    """A detector whose ``_fit`` takes ``weights``.

    Whether an estimator takes weights is seen in the signature of `fit`, for scikit-learn too.
    """

    _takes: ClassVar[tuple[str, ...]] = ("weights",)

    def fit(  # type: ignore[override]  # it names the one further argument there is
        self, X: Any, y: Any = None, *, groups: Any = None, sample_weight: Any = None
    ) -> Self:
        """Learn from normal images and place the threshold.

        Parameters
        ----------
        X, y, groups
            As in `OneClassDetector.fit`.
        sample_weight : array, shape (n,), optional
            How much each training sample counts in the mean that is minimised: 0 or more, on any
            scale. Equal weights are the same as none. Threshold and calibration count each sample
            once.

        Returns
        -------
        self
        """
        return super().fit(X, y, groups=groups, sample_weight=sample_weight)
