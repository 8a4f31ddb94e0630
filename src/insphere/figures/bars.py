"""Bars by normal class: baseline and option, what an option changes, published and measured.

Bars of an AUC start at chance, 50 %: above the line something was learned, below it the order is
worse than guessing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from insphere.errors import DataError
from insphere.figures import layout, style
from insphere.figures.measured import Runs, Spread, by_class, changes, classes, options, select_runs

CHANCE = 50.0
AXIS = "AUC in %"
CHANGE_AXIS = "change in points"
OPTION = "what is named above"
_WIDE = 0.4  # of a bar, where the next class is 1 away


@dataclass(frozen=True)
class Pair:
    """Two values of each class, shown side by side.

    Parameters
    ----------
    title : str
        What is compared with the first.
    first, second : mapping of str to Spread
        Values in per cent by class.
    """

    title: str
    first: Mapping[str, Spread]
    second: Mapping[str, Spread]


def pairs(runs: Runs, baseline: str) -> list[Pair]:
    """Pair every other option with the baseline.

    Parameters
    ----------
    runs : sequence of Measured
        Runs on one dataset.
    baseline : str
        Name of the option that the others are compared with.

    Raises
    ------
    DataError
        If there is no such option, or nothing to compare it with.
    """
    first = by_class(select_runs(runs, option=baseline))
    others = [name for name in options(runs) if name != baseline]
    if not first or not others:
        raise DataError(f"There is nothing to compare with {baseline}.")
    return [Pair(name, first, by_class(select_runs(runs, option=name))) for name in others]


def option_bars(runs: Runs, baseline: str, title: str = "") -> Figure:
    """Draw the AUC of the baseline and of each option by class, a panel for each option.

    Lines on the bars are one standard deviation over seeds to either side.

    Parameters
    ----------
    runs : sequence of Measured
        Runs on one dataset.
    baseline : str
        Name of the option that the others are compared with.
    title : str
        Heading of the figure.
    """
    return _paired(pairs(runs, baseline), classes(runs), (baseline, OPTION), title)


def published_bars(measured: Sequence[Pair], title: str = "") -> Figure:
    """Draw published AUCs beside measured ones by class, a panel for each method.

    Lines on the bars are one standard deviation over seeds to either side.

    Parameters
    ----------
    measured : sequence of Pair
        Published values first, measured ones second.
    title : str
        Heading of the figure.
    """
    if not measured:
        raise DataError("Nothing was published to compare with.")
    names = list(dict.fromkeys(name for pair in measured for name in pair.second))
    return _paired(measured, names, ("published", "measured"), title)


def change_bars(runs: Runs, baseline: str, title: str = "") -> Figure:
    """Draw by how many points each option changes the AUC of each class, a panel for each option.

    A bar is the mean over seeds, a dot one seed; the dashed line is the mean over classes. Runs are
    compared with that run of the baseline which has the same class and seed.

    Parameters
    ----------
    runs : sequence of Measured
        Runs on one dataset.
    baseline : str
        Name of the option that the others are compared with.
    title : str
        Heading of the figure.
    """
    found = {name: changes(runs, baseline, name) for name in options(runs) if name != baseline}
    found = {name: by_name for name, by_name in found.items() if by_name}
    if not found:
        raise DataError(f"No run has the class and the seed of one of {baseline}.")
    names = classes(runs)
    figure, axes, width = _panels(list(found), names, aside=1.0)
    for ax, by_name in zip(axes, found.values(), strict=True):
        places = [names.index(name) for name in by_name]
        means = np.array([values.mean() for values in by_name.values()])
        for sign, look in ((1, style.GAIN), (-1, style.LOSS)):
            side = np.where(sign * means >= 0, means, 0) if sign > 0 else np.minimum(means, 0)
            here = means >= 0 if sign > 0 else means < 0
            ax.bar(
                np.array(places)[here], side[here], width=0.7, color=look.colour,
                hatch=look.hatch, edgecolor=style.HATCHING, linewidth=0,
            )  # fmt: skip
        for place, values in zip(places, by_name.values(), strict=True):
            if len(values) > 1:
                ax.plot(
                    [place] * len(values), values, linestyle="none", marker="o", markersize=3.2,
                    markerfacecolor=style.PAPER, markeredgecolor=style.INK, markeredgewidth=0.8,
                )  # fmt: skip
        mean = float(means.mean())
        ax.axhline(0, color=style.INK, linewidth=0.9)
        ax.axhline(mean, color=style.INK, linewidth=1, linestyle=(0, (4, 2)))
        style.note(
            ax, f"mean {signed(mean)}", 1.0, 1.03, ha="right", va="bottom",
        )  # fmt: skip
        ax.margins(y=0.12)
        layout.below(ax, names, width=width)
    _finish(figure, axes, CHANGE_AXIS, title)
    return figure


def signed(value: float) -> str:
    """Write a change with its sign."""
    return f"{value:+.2f}".replace("-", "−")


def _paired(
    shown: Sequence[Pair], names: Sequence[str], what: tuple[str, str], title: str
) -> Figure:
    figure, axes, width = _panels([pair.title for pair in shown], names)
    looks = (style.FIRST, style.SECOND)
    for ax, pair in zip(axes, shown, strict=True):
        for shift, values, look, name in zip(
            (-_WIDE / 2, _WIDE / 2), (pair.first, pair.second), looks, what, strict=True
        ):
            _bars(ax, names, values, look, shift, name)
        ax.axhline(CHANCE, color=style.INK, linewidth=0.9)
        layout.below(ax, names, width=width)
    low, high = _limits(shown)
    for ax in axes:
        ax.set_ylim(low, high)
    _finish(figure, axes, AXIS, title)
    layout.figure_legend(figure, axes[0])
    return figure


def _bars(
    ax: Axes,
    names: Sequence[str],
    values: Mapping[str, Spread],
    look: style.Look,
    shift: float,
    label: str,
) -> None:
    places = np.array([names.index(name) for name in values if name in names], dtype=np.float64)
    found = [value for name, value in values.items() if name in names]
    means = np.array([value.mean for value in found])
    ax.bar(
        places + shift, means - CHANCE, bottom=CHANCE, width=_WIDE, color=look.colour,
        hatch=look.hatch, edgecolor=style.HATCHING, linewidth=0.5, label=label,
    )  # fmt: skip
    spread = np.array([value.std or np.nan for value in found])
    if np.isfinite(spread).any():
        ax.errorbar(
            places + shift, means, yerr=spread, linestyle="none", color=style.INK, elinewidth=0.9,
            capsize=1.8,
        )  # fmt: skip


def _limits(shown: Sequence[Pair]) -> tuple[float, float]:
    ends = [
        one.mean + sign * (one.std or 0.0)
        for pair in shown
        for values in (pair.first, pair.second)
        for one in values.values()
        for sign in (-1, 1)
    ]
    low, high = min(*ends, CHANCE), max(*ends, CHANCE)
    return max(0.0, low - 3) if low < CHANCE else CHANCE, min(
        100.0, high + 2
    ) if high < 98 else 100.5


def _panels(
    titles: Sequence[str], names: Sequence[str], aside: float = 0.0
) -> tuple[Figure, list[Axes], float]:
    """Return a figure, its panels and their width; a note beside a title takes `aside` inches."""
    panel = 4.7 if len(titles) == 1 else 3.5
    columns = 1 if len(titles) == 1 else 2
    rows = -(-len(titles) // columns)
    slanted = layout.slanted(names, panel)
    if slanted:  # the first name reaches beyond the left end of its panel
        panel -= max(0.0, 0.8 * layout.text_width(layout.of_slant(names[0])) / 72 - 0.45)
    figure, axes = layout.panels(
        len(titles),
        columns=columns,
        width=5.4 if columns == 1 else 8.2,
        height=1.0 + rows * (2.35 if slanted else 1.85),
    )
    for ax, title in zip(axes, titles, strict=True):
        layout.panel_title(ax, title, width=panel - aside)
        ax.grid(False, axis="x")
        ax.set_xlim(-0.6, len(names) - 0.4)
        ax.spines["bottom"].set_visible(False)  # the line of no effect is drawn in its place
    return figure, axes, panel


def _finish(figure: Figure, axes: Sequence[Axes], axis: str, title: str) -> None:
    columns = 1 if len(axes) == 1 else 2
    for ax in axes[::columns]:
        style.label(ax, y=axis)
    layout.heading(figure, title)
