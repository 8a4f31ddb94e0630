"""Measures of how well anomaly maps find the defects that masks mark."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score

from insphere.errors import DataError

FPR_LIMIT = 0.3
MOST_THRESHOLDS = 5000
EIGHT_NEIGHBOURS = np.ones((3, 3), int)


@dataclass(frozen=True)
class PixelEvaluation:
    """Measures of anomaly maps, compared with masks.

    Attributes
    ----------
    pixel_auc : float
        Area under the ROC curve over all pixels.
    pro : float
        Per-region overlap; see `per_region_overlap`.
    fpr_limit : float
        Up to which false-positive rate `pro` integrates.
    regions : int
        Connected defective regions.
    defective_pixels, normal_pixels : int
        Number of pixels of either kind.
    """

    pixel_auc: float
    pro: float
    fpr_limit: float
    regions: int
    defective_pixels: int
    normal_pixels: int

    def to_dict(self) -> dict[str, float | int]:
        """Return the fields as plain Python numbers, ready for JSON."""
        return asdict(self)


def evaluate_maps(
    masks: NDArray[Any],
    maps: NDArray[Any],
    *,
    valid: NDArray[np.bool_] | None = None,
    fpr_limit: float = FPR_LIMIT,
) -> PixelEvaluation:
    """Compare anomaly maps with ground-truth masks.

    Parameters
    ----------
    masks : ndarray, shape (N, H, W)
        Nonzero is defective. Images without a defect belong in it too: their pixels count as
        normal.
    maps : ndarray of float, shape (N, H, W)
        Higher is more anomalous; all on one scale.
    valid : ndarray of bool, shape (N, H, W), optional
        Pixels that count: not those that pad a photograph, for example. By default all.
    fpr_limit : float
        See `per_region_overlap`.

    Raises
    ------
    DataError
        If the shapes differ, or there are only defective or only normal pixels.
    """
    truth = _checked(masks, maps)
    counts = np.ones(truth.shape, bool) if valid is None else valid
    truth = truth & counts
    pro, regions = per_region_overlap(truth, maps, valid=counts, fpr_limit=fpr_limit)
    defective = int(truth.sum())
    return PixelEvaluation(
        pixel_auc=float(roc_auc_score(truth[counts], np.asarray(maps)[counts])),
        pro=pro,
        fpr_limit=fpr_limit,
        regions=regions,
        defective_pixels=defective,
        normal_pixels=int(counts.sum()) - defective,
    )


def per_region_overlap(
    masks: NDArray[Any],
    maps: NDArray[Any],
    *,
    valid: NDArray[np.bool_] | None = None,
    fpr_limit: float = FPR_LIMIT,
) -> tuple[float, int]:
    """Mean share of each defective region that is found, over thresholds (Bergmann et al. 2020).

    At each threshold, the overlap is the share of a region's pixels at or above it, averaged over
    all connected regions (eight neighbours), so that small defects count as much as large ones. It
    is integrated over the false-positive rate of normal pixels from 0 to `fpr_limit` and divided by
    that limit: 1 is perfect, and maps without information give `fpr_limit` / 2.

    Parameters
    ----------
    masks, maps, valid
        As in `evaluate_maps`.
    fpr_limit : float
        In (0, 1].

    Returns
    -------
    pro : float
        In [0, 1].
    regions : int
        How many there are.
    """
    truth = _checked(masks, maps)
    if not 0 < fpr_limit <= 1:
        raise DataError(f"fpr_limit is a false-positive rate in (0, 1], but got {fpr_limit!r}.")
    values = np.asarray(maps, dtype=np.float64)
    normal = np.sort(values[~truth if valid is None else ~truth & valid])
    # The overlap changes only at the values of defective pixels.
    thresholds = np.unique(values[truth])[::-1]
    if len(thresholds) > MOST_THRESHOLDS:
        selected = np.linspace(0, len(thresholds) - 1, MOST_THRESHOLDS).round().astype(int)
        thresholds = thresholds[selected]
    overlap = np.zeros(len(thresholds))
    regions = 0
    for mask, image in zip(truth, values, strict=True):
        found, count = label(mask, structure=EIGHT_NEIGHBOURS)
        for number in range(1, count + 1):
            inside = np.sort(image[found == number])
            overlap += 1 - np.searchsorted(inside, thresholds, side="left") / len(inside)
        regions += count
    overlap /= regions
    fpr = 1 - np.searchsorted(normal, thresholds, side="left") / len(normal)
    fpr, overlap = np.r_[0.0, fpr, 1.0], np.r_[0.0, overlap, 1.0]
    kept = fpr <= fpr_limit
    at_limit = float(np.interp(fpr_limit, fpr, overlap))
    x, y = np.r_[fpr[kept], fpr_limit], np.r_[overlap[kept], at_limit]
    return float(np.trapezoid(y, x) / fpr_limit), regions


def _checked(masks: NDArray[Any], maps: NDArray[Any]) -> NDArray[np.bool_]:
    if masks.shape != maps.shape or masks.ndim != 3:
        raise DataError(
            f"Masks and maps are N×H×W of one shape, but have the shapes {masks.shape} and "
            f"{maps.shape}."
        )
    truth: NDArray[np.bool_] = np.asarray(masks) > 0
    if truth.all() or not truth.any():
        raise DataError(
            "Judging maps needs both defective and normal pixels, but the masks have only one kind."
        )
    return truth
