"""Detectors that say how far a sample lies from each of several normal classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from insphere.detectors.base.class_labels import classes_of_normals
from insphere.detectors.base.estimator import Array, OneClassDetector
from insphere.errors import SpecError

Floats = NDArray[np.float64]


class ClassScores(OneClassDetector):
    """A detector whose `fit` takes the classes of normal samples, and that scores by each of them.

    Attributes
    ----------
    classes_ : list
        Classes of the normal samples; empty without classes.
    """

    classes_: list[Any]

    def _class_matrix(self, X: Array) -> Floats:
        """Return the score of each sample by each class; the smallest of a row is the score."""
        raise NotImplementedError

    def class_scores(self, X: Any) -> Floats:
        """Return the score of each sample by each class.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            As in `anomaly_score`.

        Returns
        -------
        ndarray of float64, shape (n, n_classes)
            In the order of `classes_`. The smallest of a row is the anomaly score.

        Raises
        ------
        SpecError
            If `fit` got no classes.
        """
        self._check_classes()
        return self._class_matrix(self._read(X))

    def predict_class(self, X: Any) -> NDArray[Any]:
        """Return the class with the smallest score.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            As in `anomaly_score`.

        Returns
        -------
        ndarray, shape (n,)
            Classes as they were given to `fit`.

        Raises
        ------
        SpecError
            If `fit` got no classes.
        """
        found: NDArray[Any] = np.asarray(self.classes_)[self.class_scores(X).argmin(axis=1)]
        return found

    def _read_labels(self, y: Any) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None]:
        self.classes_, codes = classes_of_normals(y)
        return codes, None

    def _check_classes(self) -> None:
        check_is_fitted(self)
        if not self.classes_:
            raise SpecError(
                "This detector knows one normal class: give fit the class of each sample, or "
                "--by-class on the command line."
            )
