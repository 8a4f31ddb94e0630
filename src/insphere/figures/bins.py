"""Numbers of a histogram: edges of bins, and heights for each group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError, SpecError
from insphere.explain.score_checks import as_scores, as_truth

TINY = 1e-200  # numbers below are as good as zero


@dataclass(frozen=True, eq=False)
class Group:
    """One group of images in a histogram.

    Parameters
    ----------
    name : str
        What it is called.
    size : int
        How many images it has.
    heights : ndarray, shape (n_bins,)
        Images in each bin, or their share of the group.
    anomalous : bool
        Whether it lies on the wrong side.
    """

    name: str
    size: int
    heights: NDArray[np.float64]
    anomalous: bool


@dataclass(frozen=True, eq=False)
class Histogram:
    """Scores in bins.

    Parameters
    ----------
    edges : ndarray, shape (n_bins + 1,)
        Rising edges; one lies on the threshold.
    groups : tuple of Group
        One or two.
    threshold : float or None
        Scores above it are called anomalous.
    gathered : int
        Images beyond the outermost edges, which are counted in the outermost bins.
    shares : bool
        Whether heights are shares of their group.
    """

    edges: NDArray[np.float64]
    groups: tuple[Group, ...]
    threshold: float | None
    gathered: int
    shares: bool


def histogram(
    scores: ArrayLike,
    threshold: float | None = None,
    truth: ArrayLike | None = None,
    *,
    bins: int = 40,
) -> Histogram:
    """Count scores; the parameters are those of `insphere.figures.score_histogram`.

    Raises
    ------
    DataError
        If there are no scores, or they or the threshold are not finite, or the truth does not fit.
    SpecError
        If `bins` is less than 1.
    """
    values = as_scores(scores)
    if not len(values):
        raise DataError("A histogram needs at least one score.")
    if bins < 1:
        raise SpecError(f"bins must be at least 1, but is {bins}.")
    if threshold is not None and not np.isfinite(threshold):
        raise DataError(f"The threshold must be a finite number, but is {threshold}.")
    edges = bin_edges(values, threshold, bins)
    clipped = np.clip(values, edges[0], edges[-1])
    parts: list[tuple[str, NDArray[np.bool_]]]
    if truth is not None:
        anomalous = as_truth(truth, len(values))
        parts = [("normal", ~anomalous), ("anomalous", anomalous)]
    elif threshold is not None:
        parts = [("within", values <= threshold), ("beyond", values > threshold)]
    else:
        parts = [("images", np.ones(len(values), dtype=np.bool_))]
    groups = []
    for place, (name, selected) in enumerate(parts):
        size = int(selected.sum())
        heights = np.histogram(clipped[selected], edges)[0].astype(np.float64)
        if truth is not None and size:
            heights /= size
        groups.append(Group(name, size, heights, place == 1))
    gathered = int(np.count_nonzero(clipped != values))
    return Histogram(edges, tuple(groups), threshold, gathered, truth is not None)


def bin_edges(
    scores: NDArray[np.float64], threshold: float | None, bins: int
) -> NDArray[np.float64]:
    """Return edges of equal bins, one of them on the threshold; very long tails are ignored."""
    low, high = float(scores.min()), float(scores.max())
    first, last = (float(value) for value in np.quantile(scores, (0.01, 0.99)))
    reach = last - first
    if reach > 0:
        low, high = max(low, first - reach / 2), min(high, last + reach / 2)
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, TINY):
        half = 0.1 * size if size > TINY else 0.5
        low, high = low - half, high + half
    anchor = low if threshold is None else threshold
    step = (high - low) / bins
    before = int(np.ceil((anchor - low) / step - 1e-9))
    after = int(np.ceil((high - anchor) / step - 1e-9))
    return np.asarray(anchor + step * np.arange(-before, after + 1), dtype=np.float64)
