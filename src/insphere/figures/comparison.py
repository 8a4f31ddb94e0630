"""Critical-difference diagram: average ranks; a bar joins methods that may not differ."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from insphere.figures import layout, style
from insphere.figures.ranks import Ranking

_LINE = 0.27  # inches for a line of text


def critical_difference(ranking: Ranking, title: str = "") -> Figure:
    """Draw a critical-difference diagram (Demšar 2006).

    Parameters
    ----------
    ranking : Ranking
        From `insphere.figures.ranks.rank_methods`.
    title : str
        Heading of the figure.
    """
    k = len(ranking.names)
    left = -(-k // 2)
    groups = ranking.groups
    bars = 0.17 * len(groups)
    names = [layout.shortened(name, 34) for name in ranking.names]
    room = max(layout.text_width(f"{name}  00.00") for name in names) / 72 + 0.25  # inches
    axis = 3.0 if k <= 10 else 4.2
    figure, (ax,) = layout.panels(1, width=2 * room + axis + 0.5, height=1.45 + bars + _LINE * left)
    ax.grid(False)
    ax.set_yticks([])
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    # One unit of y is one line of text; ranks run along x from 1 at the left.
    span = k - 1
    inch = span / axis
    ax.set_xlim(1 - room * inch, k + room * inch)
    bottom = -(bars / _LINE) - left - 0.6
    ax.set_ylim(bottom, 3.2)

    ax.plot([1, k], [0, 0], color=style.INK, linewidth=1.2)
    for tick in range(1, k + 1):
        ax.plot([tick, tick], [0, 0.28], color=style.INK, linewidth=1.2)
        if k <= 12 or tick % 2:
            _text(ax, tick, 0.5, str(tick), ha="center", va="bottom")
    cd = ranking.critical_difference
    shown = min(cd, span)
    ax.plot([1, 1 + shown], [2.2, 2.2], color=style.INK, linewidth=1.6, marker="|", markersize=7)
    wider = "" if cd <= span else ", wider than the axis"
    _text(ax, 1 + shown + 0.08 * inch, 2.2, f"critical difference {cd:.2f}{wider}", va="center")

    for place, (first, last) in enumerate(groups):
        y = -0.55 - 0.17 * place / _LINE
        ends = ranking.ranks[first], ranking.ranks[last]
        ax.plot(ends, [y, y], color=style.NORMAL, linewidth=4.5, solid_capstyle="round")
    for place, (name, rank) in enumerate(zip(names, ranking.ranks, strict=True)):
        is_left = place < left
        line = place if is_left else k - 1 - place
        y = -(bars / _LINE) - 0.9 - line
        edge = 1 - 0.15 * inch if is_left else k + 0.15 * inch
        ax.plot([rank, rank, edge], [0, y, y], color=style.MUTED, linewidth=0.9, zorder=1)
        ax.plot([rank], [0], color=style.INK, marker="o", markersize=4.5, zorder=5)
        text = f"{name}  {rank:.2f}" if is_left else f"{rank:.2f}  {name}"
        shift = -0.06 * inch if is_left else 0.06 * inch
        _text(ax, edge + shift, y, text, ha="right" if is_left else "left", va="center")
    p = "< 0.001" if ranking.p_value < 1e-3 else f"= {ranking.p_value:.3f}"
    style.label(
        ax,
        x=f"average rank over {ranking.n} classes, 1 is the best · Friedman χ² = "
        f"{ranking.statistic:.1f}, p {p}",
    )
    layout.heading(figure, title)
    return figure


def _text(ax: Axes, x: float, y: float, text: str, **where: Any) -> None:
    ax.text(
        x, y, text, fontsize=layout.SMALL, color=style.INK, family=style.FAMILY, parse_math=False,
        **where,
    )  # fmt: skip
