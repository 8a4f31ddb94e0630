"""Explanations from the representation: nearest normal examples, and latent dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from insphere.errors import SpecError

if TYPE_CHECKING:
    from insphere.detectors.base.estimator import OneClassDetector


@dataclass(frozen=True, eq=False)
class Nearest:
    """The normal examples that are most similar to each image.

    Attributes
    ----------
    index : ndarray of int64, shape (N, k)
        Rows of the normals, the nearest first.
    distance : ndarray of float64, shape (N, k)
        Euclidean distances of the representations, or of the pixels.
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float64]


def nearest_normals(detector: OneClassDetector, X: Any, normals: Any, k: int = 3) -> Nearest:
    """Find the normal examples that the detector sees as most similar to each image.

    Images are compared by ``transform`` if the detector has it, otherwise by their pixels.

    Parameters
    ----------
    detector : OneClassDetector
        Fitted on images.
    X, normals : array, tensor, path or ImageSet
        Images to explain, and normal ones to choose from.
    k : int, default=3
        How many for each image.

    Raises
    ------
    SpecError
        If `k` is less than 1, or more than there are normals.
    """
    images, examples = detector._read_images(X), detector._read_images(normals)
    if not 1 <= k <= len(examples):
        raise SpecError(f"k lies between 1 and the {len(examples)} normal images, but is {k}.")
    transform = getattr(detector, "transform", None)
    if transform is None:
        from insphere.explain.attribution import as_floats

        there, here = (as_floats(a).reshape(len(a), -1) for a in (examples, images))
    else:
        there, here = transform(normals), transform(X)
    search = NearestNeighbors(n_neighbors=k).fit(np.asarray(there, dtype=np.float64))
    distance, index = search.kneighbors(np.asarray(here, dtype=np.float64))
    return Nearest(index.astype(np.int64), distance)


def latent_contributions(detector: OneClassDetector, X: Any) -> NDArray[np.float64]:
    """Return what each latent dimension adds to the score of a Deep SVDD: (φ_j(x) − c_j)².

    Parameters
    ----------
    detector : DeepSVDD
        Fitted, with the head "center".
    X : array, tensor, path or ImageSet
        Images or rows to explain.

    Returns
    -------
    ndarray of float64, shape (N, rep_dim)
        0 or more; the sum over dimensions is the anomaly score.

    Raises
    ------
    SpecError
        If the detector has no centre.
    """
    center = getattr(detector, "center_", None)
    transform = getattr(detector, "transform", None)
    if center is None or transform is None:
        raise SpecError(
            f"{type(detector).__name__} has no centre that dimensions could be compared with; use "
            "DeepSVDD with head=center."
        )
    z = np.asarray(transform(X), dtype=np.float64)
    return np.square(z - np.asarray(center, dtype=np.float64))
