"""How the scores of normal and anomalous images lie beside each other and the threshold."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError, SpecError
from insphere.explain.inputs import as_scores, as_truth
from insphere.figures import style

TINY = 1e-200  # numbers below are as good as zero


def score_histogram(
    scores: ArrayLike,
    threshold: float | None = None,
    truth: ArrayLike | None = None,
    *,
    bins: int = 40,
) -> Figure:
    """Draw the histogram of the scores with the threshold marked.

    With the truth, normal and anomalous images are two histograms, each as a share of its own
    group, since the groups often differ in size. Without it, images within and beyond the threshold
    are counted. One edge of the bins lies on the threshold. The outermost bars gather the few
    images of very long tails, and the axis says so.

    Parameters
    ----------
    scores : array-like of float, shape (N,)
        Anomaly scores, higher is more anomalous.
    threshold : float, optional
        Scores above it are called anomalous.
    truth : array-like of int or bool, shape (N,), optional
        0 for normal, 1 for anomalous.
    bins : int
        About how many bars.

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
    gathered = int(np.count_nonzero(clipped != values))

    figure, (ax,) = style.new_figure(height=3.9)
    groups: list[tuple[str, NDArray[np.bool_], str]]
    if truth is not None:
        anomalous = as_truth(truth, len(values))
        groups = [("normal", ~anomalous, style.NORMAL), ("anomalous", anomalous, style.ANOMALOUS)]
    elif threshold is not None:
        beyond = values > threshold
        groups = [("within", ~beyond, style.NORMAL), ("beyond", beyond, style.ANOMALOUS)]
    else:
        groups = [("images", np.ones(len(values), dtype=np.bool_), style.NORMAL)]
    for name, chosen, colour in groups:
        size = int(chosen.sum())
        heights = np.histogram(clipped[chosen], edges)[0].astype(np.float64)
        if truth is not None and size:
            heights /= size
        text = f"{name} ({size:,})"
        ax.stairs(heights, edges, fill=True, color=colour, alpha=0.22, linewidth=0)
        ax.stairs(
            heights,
            edges,
            edgecolor=colour,
            fill=bool(style.HATCH[colour]),
            facecolor="none",
            hatch=style.HATCH[colour],
            linewidth=1.4,
            label=text,
        )
    if threshold is not None:
        ax.axvline(
            threshold,
            color=style.INK,
            linewidth=1.4,
            linestyle=(0, (3.2, 2)),
            label=f"threshold {threshold:.3g}",
        )
    ax.set_ylim(bottom=0)
    ax.margins(x=0.01)
    ax.grid(False, axis="x")
    suffix = f" (outermost bars gather {gathered:,} beyond the axis)" if gathered else ""
    style.label(
        ax,
        x=f"anomaly score{suffix}",
        y="images" if truth is None else "share of each group",
    )
    if truth is not None:
        style.percent_axis(ax, y=True)
    style.legend(ax)
    return figure


def bin_edges(
    scores: NDArray[np.float64], threshold: float | None, bins: int
) -> NDArray[np.float64]:
    """Return edges of equal bins, one of them on the threshold, blind to very long tails."""
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
