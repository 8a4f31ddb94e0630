"""Histograms of the scores of normal and anomalous images, with the threshold."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from insphere.errors import DataError
from insphere.figures import layout, style
from insphere.figures.bins import Histogram, histogram


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
    data = histogram(scores, threshold, truth, bins=bins)
    figure, (ax,) = style.new_figure(height=3.9)
    _draw(ax, data)
    suffix = f" (outermost bars gather {data.gathered:,} beyond the axis)" if data.gathered else ""
    style.label(
        ax,
        x=f"anomaly score{suffix}",
        y="share of each group" if data.shares else "images",
    )
    style.legend(ax)
    return figure


def score_distributions(histograms: Mapping[str, Histogram], title: str = "") -> Figure:
    """Draw the scores of several runs, such as one for each normal class, a panel for each.

    Parameters
    ----------
    histograms : mapping of str to Histogram
        From `insphere.figures.bins.histogram`, by the name of the class.
    title : str
        Heading of the figure.
    """
    if not histograms:
        raise DataError("There are no scores to draw.")
    count = len(histograms)
    columns = 2 if count > 1 else 1
    figure, axes = layout.panels(
        count, columns=columns, width=3.7 * columns, height=1.0 + 1.95 * -(-count // columns)
    )
    for ax, (name, data) in zip(axes, histograms.items(), strict=True):
        _draw(ax, data, sizes=False)
        layout.panel_title(ax, name)
        ax.yaxis.set_major_locator(MaxNLocator(nbins=4))
    for ax in axes[-columns:]:
        style.label(ax, x="anomaly score")
    style.label(axes[0], y="share of each group")
    layout.heading(figure, title)
    layout.figure_legend(figure, axes[0])
    return figure


def _draw(ax: Axes, data: Histogram, *, sizes: bool = True) -> None:
    for group in data.groups:
        colour = style.ANOMALOUS if group.anomalous else style.NORMAL
        ax.stairs(group.heights, data.edges, fill=True, color=colour, alpha=0.22, linewidth=0)
        ax.stairs(
            group.heights,
            data.edges,
            edgecolor=colour,
            fill=bool(style.HATCH[colour]),
            facecolor="none",
            hatch=style.HATCH[colour],
            linewidth=1.4,
            label=f"{group.name} ({group.size:,})" if sizes else group.name,
        )
    if data.threshold is not None:
        ax.axvline(
            data.threshold,
            color=style.INK,
            linewidth=1.4,
            linestyle=(0, (3.2, 2)),
            label=f"threshold {data.threshold:.3g}" if sizes else "threshold",
        )
    ax.set_ylim(bottom=0)
    ax.margins(x=0.01)
    ax.grid(False, axis="x")
    if data.shares:
        style.percent_axis(ax, y=True)
