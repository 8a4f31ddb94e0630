"""Labels that users give: the class of each sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError


def class_codes(y: Any) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the classes in ascending order, and the position of each label among them.

    Parameters
    ----------
    y : array, shape (n,)
        Class of each sample: whole numbers or strings.

    Raises
    ------
    DataError
        If y does not hold one whole number or string for each sample.
    """
    labels = np.asarray(y)
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == labels.round()).all():
        labels = labels.astype(np.int64)
    if labels.ndim != 1 or labels.dtype.kind not in "iubUO":
        raise DataError(
            f"y holds one whole number or string for each image, but got an array of "
            f"{labels.dtype} with shape {labels.shape}."
        )
    if labels.dtype.kind == "O":
        labels = labels.astype(str)
    values, codes = np.unique(labels, return_inverse=True)
    return values.tolist(), codes.astype(np.int64)
