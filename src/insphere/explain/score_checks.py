"""Checks of scores (one dimension, finite) and of truth (0 and 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError


def as_scores(scores: ArrayLike, *, title: str = "scores") -> NDArray[np.float64]:
    """Return scores as float64, or raise an error if they are not valid.

    Parameters
    ----------
    scores : array-like of float, shape (N,)
        Anomaly scores, higher is more anomalous.
    title : str
        What they are called in the message.

    Raises
    ------
    DataError
        If they are not one-dimensional numbers, or hold NaN or infinity.
    """
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"The {title} must be numbers, one for each image.") from error
    if values.ndim != 1:
        raise DataError(
            f"The {title} must have one dimension, one number for each image, but their shape is "
            f"{values.shape}."
        )
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise DataError(
            f"{bad} of {len(values)} {title} are NaN or infinite; remove those images or score "
            "them again."
        )
    return values


def as_truth(truth: ArrayLike, n: int) -> NDArray[np.bool_]:
    """Return the truth as booleans (True is anomalous), or raise an error.

    Parameters
    ----------
    truth : array-like of int or bool, shape (N,)
        0 for normal, 1 for anomalous.
    n : int
        How many images there are.

    Raises
    ------
    DataError
        If there is not one 0 or 1 for each image.
    """
    values = np.asarray(truth)
    if values.shape != (n,):
        raise DataError(f"There are {n} scores, but the truth has the shape {values.shape}.")
    if values.dtype == np.bool_:
        return values
    if not np.isin(values, (0, 1)).all():
        raise DataError("The truth must be 0 for normal and 1 for anomalous images.")
    anomalous: NDArray[np.bool_] = values == 1
    return anomalous
