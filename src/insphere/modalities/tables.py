"""Tables: float64, N×d, from all inputs that scikit-learn accepts."""

from __future__ import annotations

import reprlib
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
        except (TypeError, ValueError) as error:
            kind = DataTypeError if isinstance(error, TypeError) else DataError
            # Else the message of scikit-learn, in one line.
            raise kind(_fault(data) or " ".join(str(error).split())) from error
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


def _fault(data: Any) -> str | None:
    """Say which column of a table holds no numbers, or not everywhere; None if none is found."""
    try:
        names = list(getattr(data, "columns", range(data.shape[1])))
        columns = [np.asarray(data[name] if hasattr(data, "columns") else data[:, name])
                   for name in names]  # fmt: skip
    except Exception:  # no table at all, which scikit-learn says
        return None
    for name, values in zip(names, columns, strict=True):
        if values.ndim != 1:
            return None
        if values.dtype.kind in "Mm":
            return f"Column {name} holds times, not numbers: convert them, or leave the column out."
        if values.dtype.kind in "OUS" and (text := _first_text(values)) is not None:
            return (
                f"Column {name} holds text ({reprlib.repr(text)}), and detectors compare numbers: "
                "encode it, for example with one column of 0 and 1 for each category, or leave it "
                "out."
            )
    for name, values in zip(names, columns, strict=True):
        missing = _missing(values)
        if missing:
            return (
                f"Column {name} holds NaN, or nothing, in {missing:,} of {len(values):,} rows: "
                "fill it, or leave those rows or the column out."
            )
    return None


def _first_text(values: Array) -> str | None:
    """Return the first text that is no number."""
    for value in values.tolist():
        if isinstance(value, str | bytes):
            try:
                float(value)
            except ValueError:
                return str(value)
    return None


def _missing(values: Array) -> int:
    try:
        return int(np.isnan(values.astype(np.float64)).sum())
    except (TypeError, ValueError):
        return 0
