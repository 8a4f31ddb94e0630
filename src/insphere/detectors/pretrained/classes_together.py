"""The base of detectors on pooled vectors that learn from all normal classes at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.estimator import Array
from insphere.detectors.base.parameters import parameters
from insphere.detectors.frozen_features.pooled_features import Floats
from insphere.detectors.pretrained.pooled_detector import PooledDetector
from insphere.errors import SpecError


@parameters
class ClassesTogether(PooledDetector):
    """Learns once from the vectors of all classes, with their names; see the concrete detectors.

    Classes cannot be added later.
    """

    def _learn_classes(self, F: Floats, codes: NDArray[np.int64] | None) -> None:
        """Set the attributes named in `_stored`.

        Parameters
        ----------
        F : ndarray, shape (n, d)
            Vectors of normal images.
        codes : ndarray of int64, shape (n,), or None
            Places of their classes in `classes_`; None without classes.
        """
        raise NotImplementedError

    def _scores_by_class(self, F: Floats) -> Floats:
        """Score vectors by each class, (n, d) to (n, n_classes); the smallest is `_score`."""
        raise NotImplementedError

    def _restored(self) -> None:
        """Make what is not stored from what is, after loading.

        Raises
        ------
        ValueError
            If what is stored does not fit the classes.
        """
        raise NotImplementedError

    # ------------------------------------------------------------------ public

    def add_class(self, X: Any, name: Any) -> NoReturn:
        """Refuse: all classes are learned together.

        Raises
        ------
        SpecError
            Always.
        """
        raise SpecError(
            f"{type(self).__name__} learns all classes together, so none can be added: fit again "
            "with the images of all classes, or take FeatureKNN."
        )

    # ------------------------------------------------------------------ PooledDetector

    def _fit(self, X: Array, *, labels: NDArray[np.int64] | None = None) -> None:
        self.members_, self._codes = [], labels  # the codes until the next fit; not saved
        if labels is None:
            self.classes_ = []
        self._prepare(X, labels)
        self._learn_from(X)

    def _learn(self, F: Floats) -> None:
        self._learn_classes(F, self._codes)

    def _learn_part(self, F: Floats, part: NDArray[np.bool_]) -> None:
        self._learn_classes(F[part], None if self._codes is None else self._codes[part])

    def _as_new(self, X: Array) -> Floats:
        if self._codes is not None and len(self._codes) != len(X):  # not the training images
            return self._in_batches(X, self._score_represented)
        return super()._as_new(X)

    # ------------------------------------------------------------------ ByClass

    def _class_matrix(self, X: Array) -> Floats:
        return self._in_batches(X, self._scores_by_class, len(self.classes_))

    def _restore_classes(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self.classes_, self.members_, self._codes = list(meta.get("classes", ())), [], None
        self._set_learned(arrays)
        self._restored()
