"""Mean gain of each option with its interval, beside the gain that was assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from insphere.errors import DataError
from insphere.figures import layout, style
from insphere.figures.measured import Runs, changes, options

GAIN_AXIS = "change of the mean AUC in points"


@dataclass(frozen=True)
class Gain:
    """Mean gain of one option.

    Parameters
    ----------
    option : str
        Its name.
    mean : float
        Mean change in points.
    low, high : float
        Ends of the interval that is drawn; NaN for none.
    assumed : float or None
        Change in points that was assumed for it, or None.
    n : int
        Classes that it is from.
    """

    option: str
    mean: float
    low: float
    high: float
    assumed: float | None = None
    n: int = 0


def mean_gains(runs: Runs, baseline: str, assumed: dict[str, float] | None = None) -> list[Gain]:
    """Return the mean change of every option over the classes, the largest first.

    The interval holds the mean with 95 % confidence if changes of classes vary as a normal
    distribution does: Student's t, one value a class (the mean over its seeds).

    Parameters
    ----------
    runs : sequence of Measured
        Runs on one dataset.
    baseline : str
        Name of the option that the others are compared with.
    assumed : dict of str to float, optional
        Changes in points that were assumed, by option.
    """
    found = []
    for option in options(runs):
        means = [float(values.mean()) for values in changes(runs, baseline, option).values()]
        if option == baseline or not means:
            continue
        low = high = float("nan")
        if len(means) > 1:
            half = float(stats.t.ppf(0.975, len(means) - 1) * stats.sem(means))
            low, high = float(np.mean(means)) - half, float(np.mean(means)) + half
        reference = (assumed or {}).get(option)
        found.append(Gain(option, float(np.mean(means)), low, high, reference, len(means)))
    return sorted(found, key=lambda gain: -gain.mean)


def gain_bars(gains: Sequence[Gain], title: str = "") -> Figure:
    """Draw the mean gain of each option, with the assumed gain as a diamond.

    Parameters
    ----------
    gains : sequence of Gain
        In the order in which they are to stand, from the top.
    title : str
        Heading of the figure.
    """
    if not gains:
        raise DataError("There is no option whose gain could be drawn.")
    row = layout.row_height([gain.option for gain in gains], 30)
    figure, (ax,) = layout.panels(1, width=6.6, height=1.4 + row * len(gains))
    places = np.arange(len(gains))
    for sign, look, name in ((1, style.GAIN, "gain"), (-1, style.LOSS, "loss")):
        here = [i for i, gain in enumerate(gains) if (gain.mean >= 0) == (sign > 0)]
        if here:
            ax.barh(
                places[here], [gains[i].mean for i in here], height=0.62, color=look.colour,
                hatch=look.hatch, edgecolor=style.HATCHING, linewidth=0, label=name,
            )  # fmt: skip
    means = np.array([gain.mean for gain in gains])
    reach = np.array([[g.mean - g.low for g in gains], [g.high - g.mean for g in gains]])
    if np.isfinite(reach).any():
        ax.errorbar(
            means, places, xerr=reach, linestyle="none", color=style.INK, elinewidth=1, capsize=2.5,
            label="95 % interval",
        )  # fmt: skip
    with_assumption = [
        (gain.assumed, place) for place, gain in enumerate(gains) if gain.assumed is not None
    ]
    if with_assumption:
        ax.plot(
            *zip(*with_assumption, strict=True), linestyle="none", marker="D", markersize=6,
            markerfacecolor=style.PAPER, markeredgecolor=style.INK, label="assumed",
        )  # fmt: skip
    ax.axvline(0, color=style.INK, linewidth=0.9)
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    layout.beside(ax, [gain.option for gain in gains], wide=30)
    style.label(ax, x=GAIN_AXIS)
    layout.heading(figure, title)
    layout.figure_legend(figure, ax, columns=4)
    return figure
