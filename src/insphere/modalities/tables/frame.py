"""The one form in which tables travel before they become numbers: named columns."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from insphere.data.value_range import LARGEST
from insphere.errors import DataError

MOST_COLUMNS = 20_000
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T]\d{1,2}:\d{2}.*)?|\d{1,2}[./]\d{1,2}[./]\d{4}.*"
)
_LOOKED_AT = 200  # texts of a column that are looked at for dates


@dataclass(frozen=True, eq=False)
class Frame:
    """Named columns of equal length.

    Parameters
    ----------
    names : tuple of str
        Names of the columns, all different.
    columns : tuple of ndarray, each of shape (N,)
        float64, where NaN is missing; or objects, where each is a string or None for missing.

    Raises
    ------
    DataError
        If names are doubled, there are too many columns, or one holds dates.
    """

    names: tuple[str, ...]
    columns: tuple[NDArray[Any], ...]

    def __post_init__(self) -> None:
        check_width(len(self.names))
        if not self.names:
            raise DataError("The table has no columns: give one with at least one.")
        doubled = sorted(name for name, n in Counter(self.names).items() if n > 1)
        if doubled:
            raise DataError(
                f"The table has several columns named {_quoted(doubled)}: rename them, since "
                "columns are known by their names."
            )
        for name, values in zip(self.names, self.columns, strict=True):
            if values.dtype == np.float64:
                largest = float(np.max(np.abs(values), where=~np.isnan(values), initial=0.0))
                if largest > LARGEST:
                    raise DataError(
                        f"Column {name} holds values up to {largest:.3g}, which are too large to "
                        f"compute with or infinite: rescale them to at most {LARGEST:.0g}."
                    )

    def __len__(self) -> int:
        return len(self.columns[0])

    def take(self, index: NDArray[np.int64]) -> Frame:
        """Return the rows at an index."""
        return Frame(self.names, tuple(values[index] for values in self.columns))

    def without(self, names: Iterable[str]) -> Frame:
        """Return the other columns."""
        left_out = set(names)
        kept = [i for i, name in enumerate(self.names) if name not in left_out]
        return Frame(tuple(self.names[i] for i in kept), tuple(self.columns[i] for i in kept))

    def column(self, name: str) -> NDArray[Any]:
        """Return a column by name.

        Raises
        ------
        DataError
            If there is none of this name.
        """
        place = self._places.get(name)
        if place is None:
            known = ", ".join(self.names[:20]) + (", …" if len(self.names) > 20 else "")
            raise DataError(f"There is no column {name}; the columns are: {known}.")
        return self.columns[place]

    def as_json(self) -> str:
        """Return names and values as JSON, from which `of_json` makes the same table."""
        columns = [
            {"texts": values.tolist()}
            if values.dtype == object
            else {"numbers": [None if v != v else v for v in values.tolist()]}
            for values in self.columns
        ]
        return json.dumps({"names": self.names, "columns": columns}, ensure_ascii=False)

    @classmethod
    def of_json(cls, text: str) -> Self:
        """Read what `as_json` returned.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it is something else.
        """
        given = json.loads(text)
        columns = [
            np.array(one["texts"], dtype=object)
            if "texts" in one
            else np.array([np.nan if v is None else v for v in one["numbers"]], dtype=np.float64)
            for one in given["columns"]
        ]
        return cls(tuple(map(str, given["names"])), tuple(columns))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def refuse_dates(self) -> None:
        """Refuse columns of dates, which are no quantity of a row.

        Raises
        ------
        DataError
            If there is one.
        """
        for name, values in zip(self.names, self.columns, strict=True):
            if values.dtype == object and _are_dates(values):
                raise DataError(
                    f"Column {name} holds dates, which say when and not what: leave it out with "
                    f"--column drop={name}, turn it into numbers such as the hour, or read the "
                    "file as a series."
                )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names and values."""
        digest = hashlib.sha256(repr(self.names).encode())
        for values in self.columns:
            if values.dtype == object:
                digest.update("\0".join(_text(value) for value in values).encode())
            else:
                digest.update(np.ascontiguousarray(values, dtype="<f8").data)
        return digest.hexdigest()


def check_width(columns: int) -> None:
    """Refuse tables with too many columns.

    Raises
    ------
    DataError
        If there are more than `MOST_COLUMNS`.
    """
    if columns > MOST_COLUMNS:
        raise DataError(
            f"The table has {columns:,} columns and at most {MOST_COLUMNS:,} are taken: choose "
            "some, reduce them first, for example with PCA, or check that rows and columns are not "
            "swapped."
        )


def is_frame(X: Any) -> bool:
    """Whether this is a data frame of pandas or Polars, or a table of Arrow, by its module."""
    module = type(X).__module__.partition(".")[0]
    return module in ("pandas", "polars", "pyarrow") and hasattr(X, "shape") and len(X.shape) == 2


def as_frame(X: Any) -> Frame:
    """Return the columns of a data frame of pandas or Polars, a table of Arrow, or a `Frame`.

    None of these packages is imported: each brings the methods that are used.

    Raises
    ------
    DataError
        If a column is of a type that is neither a number nor a text.
    """
    if isinstance(X, Frame):
        return X
    module = type(X).__module__.partition(".")[0]
    names = [str(name) for name in (X.column_names if module == "pyarrow" else X.columns)]
    check_width(len(names))
    if module == "pyarrow":
        columns = [X.column(i).to_pylist() for i in range(len(names))]
        given = [_of_values(name, values) for name, values in zip(names, columns, strict=True)]
    elif module == "polars":
        given = [_of_values(n, X.to_series(i).to_list()) for i, n in enumerate(names)]
    else:
        given = [_of_pandas(name, X.iloc[:, i]) for i, name in enumerate(names)]
    return Frame(tuple(names), tuple(given))


def with_names(X: Any, names: Sequence[str]) -> Frame:
    """Give the columns of an array, or of a list of rows, the names of training.

    Parameters
    ----------
    X : array or sequence of sequences, shape (n, k)
        Numbers and texts; None is a missing value.
    names : sequence of str, length k
        In the order of training.

    Raises
    ------
    DataError
        If there are not as many columns.
    """
    try:
        values = np.asarray(X)
    except ValueError as error:
        raise DataError("A table holds rows of one length.") from error
    if values.ndim != 2 or values.shape[1] != len(names):
        raise DataError(
            f"The detector was trained on {len(names)} columns, but got an array of shape "
            f"{values.shape}: give the same columns."
        )
    if values.dtype.kind in "iufb":
        return Frame(tuple(names), tuple(values.T.astype(np.float64)))
    if not isinstance(X, np.ndarray):  # numbers beside texts would have become texts
        columns = [_of_values(n, list(c)) for n, c in zip(names, zip(*X, strict=True), strict=True)]
        return Frame(tuple(names), tuple(columns))
    texts = [[None if v is None else str(v) for v in column] for column in values.T.tolist()]
    return Frame(tuple(names), tuple(np.array(column, dtype=object) for column in texts))


def numbers_of(frame: Frame, names: Sequence[str]) -> NDArray[np.float64]:
    """Return columns of numbers by their names, shape (n, k), for a model without a schema.

    Raises
    ------
    DataError
        If there is no such column, or it holds texts.
    """
    columns = [frame.column(name) for name in names]
    if any(values.dtype == object for values in columns):
        raise DataError("The detector was trained on numbers, but the table also holds texts.")
    return np.column_stack(columns)


def _of_pandas(name: str, series: Any) -> NDArray[Any]:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iufb":
        return np.asarray(series, dtype=np.float64)
    return _of_values(name, [None if _is_missing(v) else v for v in series.tolist()])


def _of_values(name: str, values: Sequence[Any]) -> NDArray[Any]:
    """Return Python values as a column: numbers where all are, else texts."""
    import datetime
    import numbers
    from decimal import Decimal

    present = [value for value in values if not _is_missing(value)]
    if any(isinstance(value, (datetime.date, datetime.time)) for value in present):
        return np.array(
            [
                None
                if _is_missing(v)
                else f"{v:%Y-%m-%d}"
                if isinstance(v, datetime.date)
                else str(v)
                for v in values
            ],
            dtype=object,
        )
    if all(isinstance(value, (numbers.Real, Decimal, np.bool_)) for value in present):
        return np.array([np.nan if _is_missing(v) else float(v) for v in values])
    if all(isinstance(value, (str, bool, numbers.Real)) for value in present):
        return np.array([None if _is_missing(v) else str(v) for v in values], dtype=object)
    kind = next(type(v).__name__ for v in present if not isinstance(v, (str, numbers.Real)))
    raise DataError(
        f"Column {name} holds values of type {kind}: a table takes numbers and texts, so leave the "
        "column out or convert it."
    )


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _are_dates(values: NDArray[Any]) -> bool:
    texts = [value for value in values[: 20 * _LOOKED_AT] if value is not None][:_LOOKED_AT]
    return bool(texts) and all(_DATE.fullmatch(text.strip()) for text in texts)


def _text(value: str | None) -> str:
    return "\1" if value is None else value


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
