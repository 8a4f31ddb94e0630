"""Radius and AUC by epoch, for networks that collapse and networks that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from insphere.errors import DataError
from insphere.figures import style

_LOOKS: tuple[tuple[str, Any], ...] = (
    (style.INK, "-"),
    (style.ANOMALOUS, "-"),
    (style.NORMAL, (0, (5, 1.5))),
    (style.ACCENT, (0, (1, 1))),
    ("#cc79a7", (0, (4, 1, 1, 1))),  # Okabe–Ito reddish purple
    ("#56b4e9", (0, (6, 2, 1, 2))),  # Okabe–Ito sky blue
)


def collapse_curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the radius as a share of its start, and the AUC, by epoch.

    Parameters
    ----------
    rows : sequence of mapping
        At most six, each with ``title`` and ``history``: epochs with ``epoch``, ``radius`` and
        ``auc``.

    Raises
    ------
    DataError
        If there are no rows, or more than six.
    """
    if not 1 <= len(rows) <= len(_LOOKS):
        raise DataError(f"A figure of collapse shows 1 to {len(_LOOKS)} runs, not {len(rows)}.")
    figure, (above, below) = style.new_figure(2, height=5.0)
    for row, (colour, line) in zip(rows, _LOOKS, strict=False):
        epochs = [point["epoch"] for point in row["history"]]
        first = row["history"][0]["radius"]
        look: dict[str, Any] = {"color": colour, "linestyle": line, "linewidth": 1.8}
        radius = [max(point["radius"] / first, 1e-12) for point in row["history"]]
        above.plot(epochs, radius, label=row["title"], **look)
        below.plot(epochs, [100 * point["auc"] for point in row["history"]], **look)
    above.set_yscale("log")
    below.axhline(50, color=style.MUTED, linestyle=":", linewidth=1)
    for ax in (above, below):
        ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    style.legend(above)
    above.tick_params(labelbottom=False)
    style.label(above, y="radius,\nshare of its start")
    style.label(below, x="epoch", y="AUC, %")
    figure.align_ylabels([above, below])
    return figure
