"""Tables: float64, N×d, from files, frames, and all inputs that scikit-learn accepts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from insphere.data.inputs import as_images, check_magnitude, holds_images, training_index
from insphere.data.read_options import ReadOptions
from insphere.data.sample_set import SampleSet
from insphere.errors import DataError, DataTypeError
from insphere.modalities.exhibit import Exhibit
from insphere.modalities.modality import Array, Example, Modality
from insphere.modalities.tables.encode import Column, Schema
from insphere.modalities.tables.explain import row_exhibits
from insphere.modalities.tables.faults import fault
from insphere.modalities.tables.files import is_table_file
from insphere.modalities.tables.frame import (
    Frame,
    as_frame,
    check_width,
    is_frame,
    numbers_of,
    with_names,
)
from insphere.modalities.tables.table_set import TableSet, read_table, table_set


@dataclass(frozen=True)
class Tables(Modality):
    """Rows of numbers and categories.

    A table of numbers without gaps is taken as scikit-learn takes it. Everything else, such as a
    file, categories or missing values, becomes numbers by a `Schema` that is learned on the
    training rows.

    Parameters
    ----------
    features : int
        Number of columns; with a schema, of numbers that it makes.
    columns : tuple of Column
        The schema; empty if there is none.
    """

    features: int
    columns: tuple[Column, ...] = ()

    key: ClassVar[str] = "tables"
    noun: ClassVar[str] = "a table"
    plural: ClassVar[str] = "rows"
    singular: ClassVar[str] = "row"
    how_to_label: ClassVar[str] = (
        "name the column that says what each row is with --label, and the normal class with "
        "--normal"
    )
    method: ClassVar[str] = "table-svdd"
    example: ClassVar[Example] = Example(
        "breast-cancer", "Measurements of 569 breast tumours", "sklearn"
    )

    @classmethod
    def reads(cls, X: Any) -> bool:
        """Whether this has two dimensions or fewer; with fewer, scikit-learn raises an error."""
        if isinstance(X, (TableSet, Frame)) or is_frame(X):
            return True
        if isinstance(X, (str, os.PathLike)):
            return is_table_file(os.fspath(X))
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
    def is_source(cls, source: str) -> bool:
        """Whether this is the name of a CSV or Parquet file."""
        return is_table_file(source)

    @classmethod
    def load(cls, source: str, reading: ReadOptions, *, progress: bool | None = None) -> TableSet:
        """Read a CSV or Parquet file; see `insphere.modalities.tables.table_set.read_table`."""
        return read_table(source, reading.columns)

    @classmethod
    def demo(cls) -> tuple[TableSet, str]:
        """Return cell measurements of 569 breast tumours, which scikit-learn ships."""
        from sklearn.datasets import load_breast_cancer

        data = load_breast_cancer()
        frame = Frame(tuple(map(str, data.feature_names)), tuple(data.data.T))
        names = tuple(map(str, data.target_names))
        labels = data.target.astype(np.int64)
        return TableSet(frame, labels, names, "breast-cancer", normal_classes=("benign",)), "benign"

    @classmethod
    def opened(cls, X: Any) -> Any:
        """Return the rows at a path."""
        return read_table(os.fspath(X), {}) if isinstance(X, (str, os.PathLike)) else X

    @classmethod
    def learned(cls, X: Any, estimator: Any) -> tuple[Array, Self]:
        """Return training rows as numbers, with the schema that makes them."""
        if not _needs_schema(X):
            data = cls.read(X, fitting=True, estimator=estimator)
            return data, cls.of(data)
        if isinstance(X, TableSet):
            frame = X.take(training_index(X))
        else:
            frame = table_set(as_frame(X), {}).frame
        schema = Schema.learned(frame)
        if rising := Schema.ascending(frame):
            warnings.warn(
                f"Column {rising[0]} ascends from row to row, as numbers and times of rows do, so "
                "that later rows look anomalous: leave it out with --column "
                f"drop={','.join(rising)}, or read the file as a series.",
                stacklevel=2,
            )
        data, _ = schema.encode(frame)
        if len(data) < 2:
            raise DataError(f"Training needs at least 2 rows, but got n_samples = {len(data)}.")
        check_width(data.shape[1])
        estimator.feature_names_in_ = np.array(frame.names, dtype=object)
        estimator.n_features_in_ = len(frame.names)
        return data, cls(int(data.shape[1]), schema.columns)

    def new(self, X: Any, estimator: Any) -> Array:
        """Return new rows as the numbers of the training rows."""
        X = self.opened(X)
        if not self.columns:
            return super().new(_plain(X, estimator), estimator)
        if isinstance(X, TableSet):
            X = X.frame
        if not isinstance(X, Frame) and not is_frame(X):
            X = with_names(np.asarray(X), [column.name for column in self.columns])
        data, said = Schema(self.columns).encode(as_frame(X))
        if said:
            warnings.warn(said, stacklevel=2)
        return data

    def feature_name(self, position: int) -> str | None:
        """Return the name of a number that the schema makes."""
        return Schema(self.columns).names[position] if self.columns else None

    def column_origins(self) -> tuple[tuple[str, ...], NDArray[np.int64]] | None:
        """Return the names of the columns, and of which column each number is."""
        return Schema(self.columns).origins if self.columns else None

    def shown_values(self, data: Array) -> tuple[tuple[str, ...], ...] | None:
        """Return rows as texts, a tuple for each column."""
        return Schema(self.columns).decode(data) if self.columns else None

    def announced(self, position: int) -> bool:
        """Whether reading has warned of a change of this number already: that of unknown values."""
        return bool(self.columns) and position == self.features - 1

    def exhibits(self, detector: Any, data: SampleSet, index: NDArray[np.int64]) -> list[Exhibit]:
        """Return what each column adds to the score of rows, and the nearest normal rows."""
        return row_exhibits(detector, data, index)

    @classmethod
    def owns(cls, data: Array) -> bool:
        """Whether this is an array N×d of numbers."""
        return data.ndim == 2

    @classmethod
    def read(cls, X: Any, *, fitting: bool, estimator: Any) -> Array:
        """Return the table, checked by scikit-learn, which records its columns while fitting."""
        from sklearn.utils.validation import validate_data

        check_width(X.shape[1] if len(getattr(X, "shape", ())) == 2 else 0)
        # Tensors become arrays.
        data = as_images(X) if getattr(X, "ndim", 2) == 2 or hasattr(X, "detach") else X
        try:
            table: Array = validate_data(
                estimator, data, dtype=np.float64, reset=fitting, ensure_min_samples=1 + fitting
            )
        except (TypeError, ValueError) as error:
            kind = DataTypeError if isinstance(error, TypeError) else DataError
            # Else the message of scikit-learn, in one line.
            raise kind(fault(data) or " ".join(str(error).split())) from error
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
        if self.columns:
            return f"{len(self.columns)} columns"
        return f"{self.features} numbers"

    def check(self, data: Array) -> None:
        """Do nothing: scikit-learn has checked the columns while reading."""

    def describe(self) -> str:
        """Return the noun; messages of scikit-learn name the columns."""
        return self.noun

    def saved(self) -> dict[str, Any]:
        """Return JSON values, without a schema if there is none."""
        found: dict[str, Any] = {"kind": self.key, "features": self.features}
        if self.columns:
            found["columns"] = [asdict(column) for column in self.columns]
        return found

    @classmethod
    def restore(cls, fields: Mapping[str, Any]) -> Self:
        """Return an object from its saved fields."""
        given: list[dict[str, Any]] = [
            {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in one.items()}
            for one in fields.get("columns", ())
        ]
        columns = [Column(**one) for one in given]
        return cls(int(fields["features"]), tuple(columns))


def _needs_schema(X: Any) -> bool:
    """Whether this is more than a table of numbers without gaps."""
    if isinstance(X, (TableSet, Frame)):
        return True
    if not is_frame(X):
        return False
    if type(X).__module__.partition(".")[0] != "pandas":
        return True
    plain = all(getattr(dtype, "kind", "O") in "iufb" for dtype in X.dtypes)
    return not plain or bool(X.isna().to_numpy().any())


def _plain(X: Any, estimator: Any) -> Any:
    """Return the numbers of a file or frame for a detector that was fitted without a schema."""
    if isinstance(X, TableSet):
        X = X.frame
    if not isinstance(X, Frame):
        if not is_frame(X) or type(X).__module__.partition(".")[0] == "pandas":
            return X
        X = as_frame(X)
    return numbers_of(X, [str(name) for name in getattr(estimator, "feature_names_in_", X.names)])
