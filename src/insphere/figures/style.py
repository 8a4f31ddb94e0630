"""The look that all figures share.

Colours come from the palette of Okabe and Ito ("Color Universal Design", 2008), which people with
any common form of colour blindness can tell apart; hatching, line style and marker always say the
same thing once more. Everything is set on the objects themselves: neither pyplot nor the global
``rcParams`` decide how a figure looks, so figures can be drawn in any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from insphere.errors import require

INK = "#24292f"
MUTED = "#656d76"
GRID = "#e4e7eb"
PAPER = "#ffffff"
NORMAL = "#0072b2"  # Okabe–Ito blue
ANOMALOUS = "#d55e00"  # Okabe–Ito vermillion
ACCENT = "#007a5a"  # Okabe–Ito bluish green, darkened for contrast on white

#: Name of each colour as a CSS variable, so that a page can restyle inline figures.
CSS_NAMES = {
    INK: "--fig-ink",
    MUTED: "--fig-muted",
    GRID: "--fig-grid",
    PAPER: "--fig-paper",
    NORMAL: "--fig-normal",
    ANOMALOUS: "--fig-anomalous",
    ACCENT: "--fig-accent",
}

#: Normal is solid and filled lightly; anomalous is hatched and dashed.
HATCH = {NORMAL: "", ANOMALOUS: "////"}
LINE = {NORMAL: "-", ANOMALOUS: (0, (4, 1.5))}

BASELINE = "#8c959f"  # what everything else is compared with: grey, without hatching
SOFT = "#f3f5f7"  # behind what is not the matter itself
HATCHING = "#ffffffa0"  # of full bars


@dataclass(frozen=True)
class Look:
    """How one of several things is drawn, on paper and on the screen.

    Parameters
    ----------
    colour : str
        Hexadecimal.
    hatch, pattern : str
        Hatching of areas, in the words of Matplotlib and of Plotly.
    marker, symbol : str
        Form of points, in the words of Matplotlib and of Plotly.
    dashes : tuple of float
        Lengths of strokes and gaps in line widths; empty for a solid line.
    """

    colour: str
    hatch: str
    pattern: str
    marker: str
    symbol: str
    dashes: tuple[float, ...]

    @property
    def line(self) -> Any:
        """Line style for Matplotlib."""
        return (0, self.dashes) if self.dashes else "-"

    @property
    def dash(self) -> str:
        """Line style for Plotly."""
        return ",".join(f"{2 * length:g}px" for length in self.dashes) or "solid"


_COLOURS = (
    NORMAL,
    ANOMALOUS,
    ACCENT,
    "#b0578d",
    "#56b4e9",
    "#e69f00",
    INK,
    BASELINE,
    "#7a4a1e",
    "#5b3f99",
)
_AREAS = (
    ("", ""), ("////", "/"), ("....", "."), ("\\\\\\\\", "\\"), ("xxxx", "x"), ("----", "-"),
    ("||||", "|"), ("++++", "+"),
)  # fmt: skip
_POINTS = (
    ("o", "circle"), ("s", "square"), ("^", "triangle-up"), ("D", "diamond"),
    ("v", "triangle-down"), ("P", "cross"), ("X", "x"), ("*", "star"),
)  # fmt: skip
_DASHES: tuple[tuple[float, ...], ...] = (
    (), (4, 1.5), (1.2, 1.2), (5, 1.3, 1.2, 1.3), (8, 2), (2.4, 1), (5, 1.2, 1.2, 1.2, 1.2, 1.2),
    (1, 2.4),
)  # fmt: skip

FIRST = Look(BASELINE, "", "", "o", "circle", (4, 1.5))  # baseline, or published
SECOND = Look(NORMAL, "////", "/", "s", "square", ())  # with an option, or measured
GAIN = Look(NORMAL, "", "", "^", "triangle-up", ())
LOSS = Look(ANOMALOUS, "////", "/", "v", "triangle-down", (4, 1.5))


def look(place: int) -> Look:
    """Return the look of the thing at a position in a list; the first forty all differ.

    Ten colours, and eight kinds of hatching, points and lines: a colour comes back with another
    form.
    """
    form = place % len(_AREAS)
    hatch, pattern = _AREAS[form]
    marker, symbol = _POINTS[form]
    colour = _COLOURS[place % len(_COLOURS)]
    return Look(colour, hatch, pattern, marker, symbol, _DASHES[form])


def seaborn() -> Any:
    """Return seaborn, or say which extra brings it.

    It is imported where it draws: it takes a second and brings pandas and pyplot, which nothing
    else here needs. All of it draws on axes that it is given; no figure of pyplot is ever made.
    """
    return require("seaborn", "figures", "This figure")


FONT_SIZE = 9.5
WIDTH = 5.0  # inches; text stays readable when the figure shrinks to the width of a phone
HEIGHT = 3.4
FAMILY = ["DejaVu Sans", "sans-serif"]


def new_figure(panels: int = 1, *, height: float = HEIGHT) -> tuple[Figure, list[Axes]]:
    """Return an empty figure with panels one above the other, dressed in the shared style.

    Parameters
    ----------
    panels : int
        Number of panels.
    height : float
        Height of the whole figure in inches.
    """
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER, layout="constrained")
    axes = [figure.add_subplot(panels, 1, place + 1) for place in range(panels)]
    for ax in axes:
        dress(ax)
    return figure, axes


def label(ax: Axes, *, x: str | None = None, y: str | None = None) -> None:
    """Name the axes."""
    style: dict[str, Any] = {
        "fontsize": FONT_SIZE,
        "color": MUTED,
        "family": FAMILY,
        "parse_math": False,
    }
    if x is not None:
        ax.set_xlabel(x, labelpad=5, **style)
    if y is not None:
        ax.set_ylabel(y, labelpad=6, **style)


def legend(ax: Axes) -> None:
    """Put the legend above the plot, where it covers no data, in two rows if it is long."""
    _, labels = ax.get_legend_handles_labels()
    columns = 2 if sum(map(len, labels)) > 44 else 3
    drawn = ax.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=columns,
        frameon=False,
        labelcolor=INK,
        prop={"size": 9, "family": FAMILY},
        handlelength=1.7,
        handletextpad=0.5,
        columnspacing=1.1,
        borderaxespad=0.2,
    )
    for text in drawn.get_texts():
        text.set_parse_math(False)


def note(ax: Axes, text: str, x: float, y: float, **where: Any) -> None:
    """Write a short text into the plot, at a place given as a share of its width and height."""
    ax.text(
        x,
        y,
        text,
        transform=ax.transAxes,
        fontsize=FONT_SIZE,
        color=INK,
        family=FAMILY,
        linespacing=1.45,
        parse_math=False,
        **where,
    )


def empty(ax: Axes, reason: str) -> None:
    """Write into an empty plot why there is nothing to draw."""
    ax.grid(False)
    note(ax, reason, 0.5, 0.5, ha="center", va="center", wrap=True)


def percent_axis(ax: Axes, *, x: bool = False, y: bool = False) -> None:
    """Write the ticks of shares (0…1) as percentages."""
    ticks = FuncFormatter(lambda value, _: f"{100 * value:g} %")
    if x:
        ax.xaxis.set_major_formatter(ticks)
    if y:
        ax.yaxis.set_major_formatter(ticks)


def dress(ax: Axes) -> None:
    """Give axes the shared look."""
    ax.set_facecolor(PAPER)
    ax.set_axisbelow(True)
    ax.grid(True, axis="both", color=GRID, linewidth=0.8, linestyle="-")
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(MUTED)
        spine.set_linewidth(0.8)
    ax.tick_params(
        which="both",
        length=0,
        pad=5,
        labelsize=FONT_SIZE,
        labelcolor=MUTED,
        labelfontfamily=FAMILY[0],
    )
