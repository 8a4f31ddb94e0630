"""Measures of heat maps: compared with known damage, and with the detector itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import trapezoid
from sklearn.metrics import roc_auc_score

from insphere.errors import DataError

if TYPE_CHECKING:
    from insphere.detectors.base.estimator import OneClassDetector


@dataclass(frozen=True)
class Localisation:
    """How well maps show damage whose place is known.

    Attributes
    ----------
    pixel_auc : float
        Chance that a damaged pixel of an image is hotter than an undamaged one of the same image,
        averaged over images.
    pointing : float
        Share of images whose hottest pixel is damaged.
    damaged : float
        Mean share of damaged pixels: what a random point would reach.
    """

    pixel_auc: float
    pointing: float
    damaged: float


def localisation(maps: ArrayLike, masks: ArrayLike) -> Localisation:
    """Compare maps with masks of known damage.

    Parameters
    ----------
    maps : array-like of float, shape (N, H, W)
        Heat maps of damaged images.
    masks : array-like of bool, shape (N, H, W)
        Damaged pixels; each image has some, and some that are not.

    Raises
    ------
    DataError
        If shapes differ, or a mask is empty or full.

    Examples
    --------
    >>> localisation([[[0.1, 0.9]], [[0.8, 0.3]]], [[[False, True]], [[False, True]]])
    Localisation(pixel_auc=0.5, pointing=0.5, damaged=0.5)
    """
    heat = np.asarray(maps, dtype=np.float64)
    truth = np.asarray(masks, dtype=bool)
    if heat.shape != truth.shape or heat.ndim != 3 or not len(heat):
        raise DataError(
            f"Maps and masks must both have the shape N×H×W, but have {heat.shape} and "
            f"{truth.shape}."
        )
    heat, truth = heat.reshape(len(heat), -1), truth.reshape(len(truth), -1)
    if truth.all(axis=1).any() or not truth.any(axis=1).all():
        raise DataError("Each mask needs damaged and undamaged pixels.")
    aucs = [roc_auc_score(t, h) for t, h in zip(truth, heat, strict=True)]
    hits = np.take_along_axis(truth, heat.argmax(axis=1)[:, None], axis=1)
    return Localisation(float(np.mean(aucs)), float(hits.mean()), float(truth.mean()))


@dataclass(frozen=True, eq=False)
class Curves:
    """Scores while pixels are removed (deletion) or put in (insertion), the hottest first.

    Attributes
    ----------
    share : ndarray, shape (K,)
        Share of pixels replaced, from 0 to 1.
    deletion : ndarray, shape (K,)
        Mean score while the image's pixels are replaced by the baseline, as a share of the way
        from the baseline's score (0) to the image's (1). A faithful map makes it fall early.
    insertion : ndarray, shape (K,)
        The same while the image's pixels come into the baseline. A faithful map makes it rise
        early.
    """

    share: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]

    @property
    def deletion_area(self) -> float:
        """Area under `deletion`; smaller is better."""
        return float(trapezoid(self.deletion, self.share))

    @property
    def insertion_area(self) -> float:
        """Area under `insertion`; larger is better."""
        return float(trapezoid(self.insertion, self.share))


def deletion_and_insertion(
    detector: OneClassDetector,
    X: Any,
    maps: ArrayLike,
    reference: Any,
    *,
    steps: int = 16,
) -> Curves:
    """Remove pixels, and put them in, in the order of a heat map (Petsiuk et al. 2018).

    Parameters
    ----------
    detector : OneClassDetector
        Fitted on images.
    X : array, tensor, path or ImageSet
        Anomalous images.
    maps : array-like of float, shape (N, H, W)
        Their heat maps.
    reference : array, tensor, path or ImageSet
        Normal images; their mean is the baseline.
    steps : int, default=16
        Equal steps from nothing to everything.

    Returns
    -------
    Curves
        Means over the images whose score lies above that of the baseline.

    Raises
    ------
    DataError
        If no image scores above the baseline.
    """
    from insphere.explain.attribution import as_floats

    images = as_floats(detector._read_images(X))
    baseline = as_floats(detector._read_images(reference)).mean(axis=0)
    heat = np.asarray(maps, dtype=np.float64).reshape(len(images), -1)
    low = float(detector._score_read(baseline[None])[0])
    high = detector._score_read(images)
    kept = high > low
    if not kept.any():
        raise DataError("No image scores above the mean of the reference images.")
    images, heat, high = images[kept], heat[kept], high[kept]
    rank = np.empty_like(heat)
    order = np.argsort(-heat, axis=1, kind="stable")
    np.put_along_axis(rank, order, np.arange(heat.shape[1], dtype=np.float64)[None], axis=1)
    rank = rank.reshape(len(images), *images.shape[1:3], 1)
    share = np.linspace(0, 1, steps + 1)
    deletion: list[float] = []
    insertion: list[float] = []
    for part in share:
        first = rank < part * heat.shape[1]
        for path, mixed in (
            (deletion, np.where(first, baseline, images)),
            (insertion, np.where(first, images, baseline)),
        ):
            score = detector._score_read(mixed.astype(np.float32))
            path.append(float(np.mean((score - low) / (high - low))))
    return Curves(share, np.array(deletion), np.array(insertion))
