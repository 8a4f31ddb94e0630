"""Labels that users give: the class of each sample, or which are anomalous."""

from __future__ import annotations

import warnings
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


def classes_of_normals(y: Any) -> tuple[list[Any], NDArray[np.int64] | None]:
    """Return the classes of normal samples and the position of each label among them.

    Parameters
    ----------
    y : array, shape (n,), or None
        Class of each normal sample: whole numbers or strings.

    Returns
    -------
    classes : list
        In ascending order; empty if there are fewer than two, and for 1 and −1, by which
        scikit-learn tells normal from anomalous samples: as its detectors do, these ignore them.
    codes : ndarray of int64, shape (n,), or None
        None if there are fewer than two classes.

    Raises
    ------
    DataError
        If y holds no classes.
    """
    if y is None:
        return [], None
    classes, codes = class_codes(y)
    if classes == [-1, 1]:
        warnings.warn(
            "y holds 1 and -1, as scikit-learn calls normal and anomalous samples. It is ignored, "
            "and all samples are taken for normal; leave out the anomalies, or take DeepSAD.",
            stacklevel=2,
        )
        return [], None
    return (classes, codes) if len(classes) > 1 else ([], None)


def anomaly_labels(y: Any, dimensions: tuple[int, ...], advice: str) -> NDArray[np.int64]:
    """Return labels that are -1 for anomalies, and 0 or 1 for everything else.

    Parameters
    ----------
    y : array
        One label for each sample, or for each pixel.
    dimensions : tuple of int
        Numbers of dimensions that y can have.
    advice : str
        What y holds, as the message of the error without its full stop.

    Raises
    ------
    DataError
        If y holds anything else.
    """
    given = np.asarray(y)
    known = given.ndim in dimensions and given.dtype.kind in "iuf"
    if not (known and np.isin(given, (-1, 0, 1)).all()):
        raise DataError(f"{advice}.")
    return given.astype(np.int64)
