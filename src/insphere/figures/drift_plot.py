"""Scores over time, those of the calibration, and the evidence for a change."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError
from insphere.explain.score_checks import as_scores
from insphere.figures import style

WINDOW = 25


def drift_chart(
    scores: ArrayLike,
    calibration_scores: ArrayLike,
    log10_capital: ArrayLike,
    *,
    threshold: float,
    warning_level: float,
    first_warning: int | None,
) -> Figure:
    """Draw incoming scores in their order, with their running median, and the capital below.

    Parameters
    ----------
    scores : array-like of shape (m,)
        Incoming scores, the oldest first.
    calibration_scores : array-like of shape (n,)
        Their middle 90 % is shaded.
    log10_capital : array-like of shape (m,)
        Decimal logarithm of the martingale after each score.
    threshold : float
        Scores above it are anomalous.
    warning_level : float
        Where the capital is a warning, as a decimal logarithm.
    first_warning : int or None
        Position of the score at which it first was.

    Raises
    ------
    DataError
        If there are no scores, or some are not finite.
    """
    incoming = as_scores(scores)
    reference = as_scores(calibration_scores, title="calibration scores")
    capital = as_scores(log10_capital, title="capital")
    if not len(incoming) or not len(reference) or len(capital) != len(incoming):
        raise DataError("A drift chart needs calibration scores, and a capital for each score.")
    figure, (above, below) = style.new_figure(2, height=4.6)
    place = np.arange(1, len(incoming) + 1)
    low, high = np.quantile(reference, (0.05, 0.95))
    above.axhspan(low, high, color=style.NORMAL, alpha=0.15, linewidth=0, label="calibration, 90 %")
    above.plot(
        place, incoming, ".", color=style.MUTED, markersize=3, alpha=0.6, label="score",
        rasterized=len(place) > 5000,
    )  # fmt: skip
    above.plot(place, _running_median(incoming), color=style.INK, linewidth=1.6, label="median")
    above.axhline(threshold, color=style.ANOMALOUS, linestyle="--", label="threshold")
    below.plot(place, capital, color=style.ACCENT, linewidth=1.8)
    below.axhline(warning_level, color=style.ANOMALOUS, linestyle="--", label="warning")
    below.axhline(0, color=style.MUTED, linestyle=":", linewidth=1)
    if first_warning is not None:
        for ax in (above, below):
            ax.axvline(first_warning + 1, color=style.ANOMALOUS, linewidth=1)
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"$10^{{{value:g}}}$"))
    below.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    for ax in (above, below):
        ax.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        ax.set_xlim(0, len(place) + 1)
        style.legend(ax)
    above.tick_params(labelbottom=False)
    style.label(above, y="score")
    style.label(below, x="image, in the order in which they came", y="evidence of drift")
    figure.align_ylabels([above, below])
    return figure


def _running_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of each value and up to 24 before it."""
    padded = np.concatenate([np.full(WINDOW - 1, np.nan), values])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)
    median: NDArray[np.float64] = np.nanmedian(windows, axis=1)
    return median
