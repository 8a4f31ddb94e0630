"""Detection of useless training data before a detector is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError

FEWEST = 3  # different samples; with two, one difference would pass for all that is normal
CHUNK = 1 << 24  # values compared at a time


def check_informative(data: NDArray[Any]) -> None:
    """Refuse training samples that do not show how normal ones differ from each other.

    Parameters
    ----------
    data : ndarray, shape (n, ...)
        Images or rows.

    Raises
    ------
    DataError
        If all values are equal, or there are fewer than three different samples.
    """
    n = len(data)
    what = "images" if data.ndim == 4 else "rows"
    first = np.asarray(data[0])
    second: NDArray[Any] | None = None
    rows = max(1, CHUNK // max(1, data[0].size))
    for start in range(1, n, rows):
        part = np.asarray(data[start : start + rows])
        new = _different(part, first)
        if second is None:
            if not new.any():
                continue
            second = part[int(np.argmax(new))]
        if (new & _different(part, second)).any():
            return
    if second is None and (first == first.flat[0]).all():
        raise DataError(
            f"All values of the {n} training samples equal {first.flat[0]}, so there is nothing "
            "to learn from them; check how they were read."
        )
    if second is None:
        raise DataError(
            f"All {n} training {what} are identical, so there is nothing to learn from them; check "
            "how they were made and read (a frozen camera, constant columns, one file many times)."
        )
    raise DataError(
        f"Of the {n} training {what} only two are different, and at least {FEWEST} are needed to "
        "see how normal ones differ from each other: give more."
    )


def _different(rows: NDArray[Any], one: NDArray[Any]) -> NDArray[np.bool_]:
    unequal: NDArray[np.bool_] = (rows != one).reshape(len(rows), -1).any(axis=1)
    return unequal
