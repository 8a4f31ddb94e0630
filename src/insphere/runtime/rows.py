"""Rows of a table as the numbers that an exported model takes, by the schema that training learned.

A schema reads texts, for which ONNX has no operators that are equal to it in every case. So it is
part of the description of the exported model, and the code that applied it in training applies it
here.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError, ModelError
from insphere.modalities.tables.encode import Column, Schema
from insphere.modalities.tables.files import read_frame
from insphere.modalities.tables.frame import Frame, as_frame, is_frame, numbers_of, with_names
from insphere.runtime.description import Description, with_tuples

Floats = NDArray[np.float64]


def schema_of(model: Description) -> Schema | None:
    """Return how the columns of a table become numbers; None if they are numbers already.

    Raises
    ------
    ModelError
        If the description is damaged.
    """
    if model.schema is None:
        return None
    try:
        return Schema(tuple(Column(**with_tuples(one)) for one in model.schema))
    except TypeError as error:
        raise ModelError("The schema in the exported model is damaged; export it again.") from error


def numbers_for(model: Description, schema: Schema | None, X: Any) -> Floats:
    """Return rows as numbers.

    Parameters
    ----------
    model : Description
        Of a model of tables.
    schema : Schema or None
        From `schema_of`.
    X : path, data frame, `Frame`, list of mappings, or array N×k
        A CSV or Parquet file; a data frame of pandas or Polars or a table of Arrow; or rows, with
        columns by name or in the order of training.

    Returns
    -------
    ndarray of float64, shape (n, d)
        NaN is a missing value, for models with a schema.

    Raises
    ------
    DataError
        If the rows do not fit the model.
    """
    names = model.columns
    frame = _frame(X, names)
    if schema is not None:
        given = with_names(X, names or []) if frame is None else frame
        numbers, said = schema.encode(given)
        if said:
            warnings.warn(said, stacklevel=2)
        return numbers
    if frame is not None:
        X = numbers_of(frame, frame.names if names is None else names)
    return _checked(X, model.shape[0])


def _frame(X: Any, names: list[str] | None) -> Frame | None:
    """Return named columns; None if X has no names."""
    if isinstance(X, (str, os.PathLike)):
        return read_frame(Path(X))
    if isinstance(X, Frame) or is_frame(X):
        return as_frame(X)
    if not (isinstance(X, (list, tuple)) and X and isinstance(X[0], Mapping)):
        return None
    if names is None:
        raise DataError("The columns of this model have no names: give rows as lists.")
    return with_names([[row.get(name) for name in names] for row in X], names)


def _checked(X: Any, width: int) -> Floats:
    try:
        rows = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("A table holds numbers in rows of one length.") from error
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise DataError(
            f"The model takes rows of {width} numbers, an array N×{width}, but got one of "
            f"shape {rows.shape}."
        )
    if not np.isfinite(rows).all():
        raise DataError("Tables contain NaN or infinite values: replace or remove them.")
    return rows
