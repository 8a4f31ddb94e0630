"""Layout of figures with several panels: headings, legends, and names that must not overlap."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import TextToPath

from insphere.figures import style

SMALL = 8.5  # points: names below bars and in the margin
HEADING = 11.5
POINTS = 72  # of an inch


def panels(
    count: int,
    *,
    columns: int = 1,
    width: float = style.WIDTH,
    height: float,
    heights: Sequence[float] | None = None,
    **subplot: Any,
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure with panels in rows, dressed in the shared style.

    Parameters
    ----------
    count : int
        Number of panels.
    columns : int
        At most how many stand in a row.
    width, height : float
        Size of the whole figure in inches.
    heights : sequence of float, optional
        How the rows share the height; by default equally.
    **subplot
        For each panel, as ``projection="polar"``.
    """
    engine = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.08)
    figure = Figure(figsize=(width, height), facecolor=style.PAPER, layout=engine)
    columns = min(columns, count)
    rows = -(-count // columns)
    grid = figure.add_gridspec(rows, columns, height_ratios=heights)
    axes = [figure.add_subplot(grid[divmod(i, columns)], **subplot) for i in range(count)]
    for ax in axes:
        style.dress(ax)
        if count > 1:
            ax.tick_params(labelsize=SMALL)
    return figure, axes


def heading(figure: Figure, text: str) -> None:
    """Write a heading above all panels, at the left, in as many lines as needed."""
    if text:
        room = POINTS * (figure.get_figwidth() - 0.2)
        wide = len(text)
        while text_width(wrapped(text, wide), HEADING, "bold") > room and wide > 12:
            wide -= 1
        figure.suptitle(
            wrapped(text, wide), x=0.01, ha="left", fontsize=HEADING, fontweight="bold",
            color=style.INK, family=style.FAMILY, parse_math=False,
        )  # fmt: skip


def panel_title(ax: Axes, text: str, *, width: float | None = None) -> None:
    """Write the name of a panel above it, shortened to a width in inches if it is too long."""
    wide = len(text)
    while width and text_width(shortened(text, wide), style.FONT_SIZE, "bold") > POINTS * width:
        wide -= 1
    ax.set_title(
        shortened(text, wide), loc="left", fontsize=style.FONT_SIZE, fontweight="bold",
        color=style.INK, family=style.FAMILY, pad=6, parse_math=False,
    )  # fmt: skip


def side_legend(ax: Axes, title: str = "", **more: Any) -> None:
    """Put the legend to the right of a plot, where it covers nothing."""
    drawn = ax.legend(
        loc="upper left", bbox_to_anchor=(1.02, 1.0), title=title or None, **_legend(), **more
    )
    drawn.get_title().set(color=style.MUTED, family=style.FAMILY, fontsize=SMALL, ha="left")
    drawn.set_alignment("left")
    _plain(drawn)


def figure_legend(figure: Figure, ax: Axes, *, columns: int = 3) -> None:
    """Put one legend for all panels below the figure, from what a panel says."""
    handles, names = ax.get_legend_handles_labels()
    _plain(
        figure.legend(
            handles, names, loc="outside lower left", ncols=min(columns, len(names)), **_legend()
        )
    )


def corner_legend(figure: Figure, ax: Axes) -> None:
    """Put the legend into the upper right corner of the figure."""
    handles, names = ax.get_legend_handles_labels()
    _plain(
        figure.legend(handles, names, loc="upper left", bbox_to_anchor=(0.69, 0.93), **_legend())
    )


def below(ax: Axes, names: Sequence[str], *, width: float) -> None:
    """Write names below the places 0, 1, …: horizontally if they fit, otherwise slanted.

    Parameters
    ----------
    ax : Axes
        Where to.
    names : sequence of str
        What to write.
    width : float
        Width of the panel in inches, about.
    """
    slant = slanted(names, width)
    ax.set_xticks(
        range(len(names)),
        [of_slant(name) for name in names] if slant else list(names),
        rotation=38 if slant else 0,
        ha="right" if slant else "center",
        rotation_mode="anchor" if slant else "default",
        fontsize=SMALL,
        parse_math=False,
    )


def slanted(names: Sequence[str], width: float) -> bool:
    """Say whether names do not fit side by side into a width in inches."""
    room = POINTS * width / max(len(names), 1) - 3
    return any(text_width(name) > room for name in names)


def of_slant(name: str) -> str:
    """Return a name as it is written slanted."""
    return shortened(name, 24)


def row_height(names: Sequence[str], wide: int = 26) -> float:
    """Return the height in inches of each of several rows that have names beside them."""
    lines = max((wrapped(name, wide).count("\n") + 1 for name in names), default=1)
    return max(0.36, 0.08 + 0.16 * lines)


def beside(ax: Axes, names: Sequence[str], *, wide: int = 26) -> None:
    """Write names to the left of the places 0, 1, …, broken into lines."""
    ax.set_yticks(
        range(len(names)), [wrapped(name, wide) for name in names], fontsize=SMALL,
        parse_math=False,
    )  # fmt: skip


def wrapped(text: str, wide: int = 26) -> str:
    """Break a text between words into lines of about `wide` letters."""
    return "\n".join(textwrap.wrap(text, wide, break_long_words=False)) or text


def shortened(text: str, wide: int) -> str:
    """Shorten a text in its middle; the ends of names often distinguish them."""
    if len(text) <= wide:
        return text
    end = max(1, (wide - 1) // 3)
    return f"{text[: max(1, wide - 1 - end)].rstrip()}…{text[-end:].lstrip()}"


def text_width(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """Return how wide a text is, in points."""
    font = FontProperties(family=style.FAMILY, size=size, weight=weight)
    lines = [
        TextToPath().get_text_width_height_descent(line, font, False) for line in text.split("\n")
    ]
    return float(max(width for width, _, _ in lines))


def _legend() -> dict[str, Any]:
    return {
        "frameon": False,
        "labelcolor": style.INK,
        "prop": {"size": SMALL, "family": style.FAMILY},
        "handlelength": 2.4,
        "handletextpad": 0.6,
        "columnspacing": 1.4,
        "borderaxespad": 0.2,
    }


def _plain(legend: Any) -> None:
    for text in legend.get_texts():
        text.set_parse_math(False)
