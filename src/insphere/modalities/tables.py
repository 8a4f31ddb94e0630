"""Tables: float64, N×d, from all inputs that scikit-learn accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from insphere.data.inputs import as_images, check_magnitude, holds_images
from insphere.errors import DataError, DataTypeError
from insphere.modalities.modality import Array, Modality


@dataclass(frozen=True)
class Tables(Modality):
    """Rows of numbers.

    Parameters
    ----------
    features : int
        Number of columns.
    """

    features: int

    key: ClassVar[str] = "tables"
    noun: ClassVar[str] = "a table"
    plural: ClassVar[str] = "rows"

    @classmethod
    def reads(cls, X: Any) -> bool:
        """Whether this has two dimensions or fewer; with fewer, scikit-learn raises an error."""
        ndim = getattr(X, "ndim", None)
        if ndim is not None:
            return bool(ndim <= 2)
        if holds_images(X) or not (isinstance(X, (list, tuple)) or hasattr(X, "__array__")):
            return False
        try:
            return bool(np.asanyarray(X).ndim == 2)
        except ValueError:
            return False

    @classmethod
    def owns(cls, data: Array) -> bool:
        """Whether this is an array N×d of numbers."""
        return data.ndim == 2

    @classmethod
    def read(cls, X: Any, *, fitting: bool, estimator: Any) -> Array:
        """Return the table, checked by scikit-learn, which records its columns while fitting."""
        from sklearn.utils.validation import validate_data

        # Tensors become arrays.
        data = as_images(X) if getattr(X, "ndim", 2) == 2 or hasattr(X, "detach") else X
        try:
            table: Array = validate_data(
                estimator, data, dtype=np.float64, reset=fitting, ensure_min_samples=1 + fitting
            )
        except (TypeError, ValueError) as error:  # the message of scikit-learn, in one line
            kind = DataTypeError if isinstance(error, TypeError) else DataError
            raise kind(" ".join(str(error).split())) from error
        check_magnitude(table, "Tables")
        return table

    @classmethod
    def of(cls, data: Array) -> Self:
        """Return the number of columns of a table."""
        return cls(int(data.shape[1]))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(F,)."""
        return (self.features,)

    @property
    def size(self) -> str:
        """Number of columns."""
        return f"{self.features} numbers"

    def check(self, data: Array) -> None:
        """Do nothing: scikit-learn has checked the columns while reading."""

    def describe(self) -> str:
        """Return the noun; messages of scikit-learn name the columns."""
        return self.noun
