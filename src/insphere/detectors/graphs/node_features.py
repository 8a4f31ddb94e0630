"""Features of nodes as a detector compares them: weighted words, or columns on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from insphere.errors import SpecError

WEIGHTINGS = ("auto", "tf-idf", "standard")
SPARSE_SHARE = 0.5  # of zeros, from which counts are taken for words


@dataclass(frozen=True, eq=False)
class NodeScale:
    """What the features of nodes are measured by, from the graph that was trained on.

    Parameters
    ----------
    words : bool
        Whether features are counts of words: weighted by how rare each is in the graph, and put to
        length 1. Otherwise each column is standardised.
    center, unit : ndarray of float64, shape (F,)
        A feature becomes (value − center) / unit.
    """

    words: bool
    center: NDArray[np.float64]
    unit: NDArray[np.float64]

    @classmethod
    def fitted(cls, features: Any, normal: NDArray[np.int64], weighting: str) -> Self:
        """Measure features: words on the whole graph, columns on the normal nodes.

        Raises
        ------
        SpecError
            If there is no such weighting.
        """
        if weighting not in WEIGHTINGS:
            raise SpecError(f"weighting is {', '.join(WEIGHTINGS)}, but got {weighting!r}.")
        n, width = features.shape
        words = weighting == "tf-idf"
        if weighting == "auto":
            few = features.nnz < SPARSE_SHARE * n * width
            words = bool(few and (features.data >= 0).all())
        if words:
            seen = np.asarray((features != 0).sum(axis=0)).ravel()
            rare = np.log((1 + n) / (1 + seen)) + 1  # as scikit-learn smooths it
            return cls(True, np.zeros(width), 1 / rare)
        rows = features[normal].toarray()
        unit = rows.std(axis=0)
        return cls(False, rows.mean(axis=0), np.where(unit > 0, unit, 1.0))

    def take(self, features: Any) -> Any:
        """Return features as they are compared: csr_matrix, or an array of columns."""
        if not self.words:
            return (features.toarray() - self.center) / self.unit
        present = sparse.csr_matrix((features != 0).astype(np.float64)) @ sparse.diags(
            1 / self.unit
        )
        length = np.sqrt(np.asarray(present.multiply(present).sum(axis=1)).ravel())
        return sparse.csr_matrix(sparse.diags(1 / np.where(length > 0, length, 1.0)) @ present)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays for `restored`."""
        return {
            "scale.words": np.array(self.words),
            "scale.center": self.center,
            "scale.unit": self.unit,
        }

    @classmethod
    def restored(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Make an object of the arrays of `state`."""
        found = [arrays[f"scale.{name}"] for name in ("words", "center", "unit")]
        return cls(bool(found[0]), found[1], found[2])
