"""Dataset × option × AUC in three dimensions, and the best options on a radar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from mpl_toolkits.mplot3d import Axes3D
from numpy.typing import NDArray

from insphere.errors import DataError
from insphere.figures import layout, style
from insphere.figures.distributions import scattered
from insphere.figures.measured import (
    Runs,
    by_class,
    classes,
    datasets,
    options,
    over_classes,
    percent,
    select_runs,
)

AXIS = "AUC in %"
FEW = 4  # lines on a radar


def auc_space(runs: Runs, title: str = "") -> Figure:
    """Draw every run as a point over its dataset and its option, at the height of its AUC.

    Options are numbered; the legend says what the numbers are. The large mark is the mean over
    classes, and its stem stands on the floor.

    Parameters
    ----------
    runs : sequence of Measured
        Runs on any datasets.
    title : str
        Heading of the figure.
    """
    if not runs:
        raise DataError("This figure needs at least one run.")
    data, names = datasets(runs), options(runs)
    height = max(5.2, 1.6 + 0.25 * len(names))
    figure = Figure(figsize=(8.6, height), facecolor=style.PAPER)
    ax: Axes3D = figure.add_axes((0.0, 0.0, 0.64, 0.94), projection="3d")
    values = percent(runs)
    floor = 5 * np.floor((values.min() - 1) / 5)
    for i, dataset in enumerate(data):
        look = style.look(i)
        for j, option in enumerate(names):
            here = select_runs(runs, dataset=dataset, option=option)
            if not here:
                continue
            heights = percent(here)
            ax.scatter(
                i + 0.28 * scattered(len(heights)), np.full(len(heights), float(j)), heights,
                s=9, color=look.colour, alpha=0.45, marker=look.marker, linewidths=0,
            )  # fmt: skip
            mean = over_classes(here).mean
            ax.plot([i, i], [j, j], [floor, mean], color=look.colour, linewidth=1, alpha=0.6)
            ax.scatter(
                [i], [j], [mean], s=42, color=look.colour, marker=look.marker,
                edgecolors=style.PAPER, linewidths=0.8, depthshade=False,
                label=dataset if j == min(_options_of(runs, dataset, names)) else None,
            )  # fmt: skip
    ax.set_xticks(range(len(data)), data, fontsize=layout.SMALL, parse_math=False)
    every = 1 if len(names) <= 10 else 2
    numbers = range(0, len(names), every)
    ax.set_yticks(numbers, [str(j + 1) for j in numbers], fontsize=layout.SMALL)
    ax.set_zlim(floor, 100)
    ax.set_xlim(-0.5, len(data) - 0.5)
    ax.set_ylim(-0.5, len(names) - 0.5)
    for text in ax.get_xticklabels():
        text.set(ha="right", va="center", rotation=0)
    ax.tick_params(colors=style.MUTED, pad=1, labelsize=layout.SMALL)
    ax.set_ylabel("option", color=style.MUTED, fontsize=style.FONT_SIZE, labelpad=6)
    ax.set_zlabel(AXIS, color=style.MUTED, fontsize=style.FONT_SIZE, labelpad=4)
    ax.view_init(elev=18, azim=-52)
    ax.set_box_aspect((1.0, 1.25, 0.85), zoom=1.0)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_pane_color((0.965, 0.97, 0.975, 1.0))
        axis._axinfo["grid"].update(color=style.PAPER, linewidth=0.9)
        axis.line.set_color(style.GRID)
    layout.heading(figure, title)
    _key(figure, names)
    layout.corner_legend(figure, ax)
    return figure


def _options_of(runs: Runs, dataset: str, names: list[str]) -> set[int]:
    return {names.index(run.option) for run in runs if run.dataset == dataset}


def _key(figure: Figure, names: list[str]) -> None:
    lines = [f"{j + 1:>2}  {layout.shortened(name, 36)}" for j, name in enumerate(names)]
    figure.text(
        0.7, 0.76, "\n".join(lines), fontsize=layout.SMALL, color=style.INK, va="top",
        family=style.FAMILY, linespacing=1.6, parse_math=False,
    )  # fmt: skip


def best_options(runs: Runs, baseline: str | None = None) -> list[str]:
    """Return the baseline and the options with the highest mean AUC, at most four, best first.

    Only options that were measured on every class of the runs.

    Parameters
    ----------
    runs : sequence of Measured
        Runs on one dataset.
    baseline : str, optional
        Name of an option that is always among them.
    """
    names = set(classes(runs))
    means = {
        option: over_classes(select_runs(runs, option=option)).mean
        for option in options(runs)
        if {run.normal for run in select_runs(runs, option=option)} == names
    }
    best = sorted(means, key=lambda option: -means[option])
    kept = best[:FEW]
    if baseline in means and baseline not in kept:
        kept[-1] = baseline
    return kept


def radar_table(
    runs: Runs, names: list[str]
) -> tuple[list[str], Mapping[str, NDArray[np.float64]]]:
    """Return the classes, and mean AUCs in per cent of each option in their order."""
    spokes = classes(runs)
    found = {}
    for option in names:
        spreads = by_class(select_runs(runs, option=option))
        found[option] = np.array([spreads[name].mean for name in spokes])
    return spokes, found


def radar_floor(table: Mapping[str, NDArray[np.float64]]) -> float:
    """Return where the middle of a radar lies: a round number below all values."""
    low = min(float(values.min()) for values in table.values())
    return float(max(0.0, 10 * np.floor((low - 2) / 10)))


def radar_rings(floor: float) -> list[float]:
    """Return the rings of a radar, from the middle to 100."""
    step = 20 if floor < 50 else 10 if floor < 75 else 5
    return [float(ring) for ring in np.arange(100, floor, -step)][::-1]


def radar_texts(rings: list[float], floor: float) -> list[str]:
    """Return the labels of the rings; none in the middle, where lines cross."""
    return [f"{ring:g}" if ring > 0.5 * floor + 50 else "" for ring in rings]


def radar(runs: Runs, baseline: str | None = None, title: str = "") -> Figure:
    """Draw the AUC of the best options around a circle, a spoke for each class.

    Parameters
    ----------
    runs : sequence of Measured
        Runs on one dataset with at least three classes.
    baseline : str, optional
        Name of an option that is always shown.
    title : str
        Heading of the figure.
    """
    names = best_options(runs, baseline)
    if not names or len(classes(runs)) < 3:
        raise DataError("A radar needs an option that was measured on three classes or more.")
    spokes, table = radar_table(runs, names)
    floor = radar_floor(table)
    angles = np.linspace(0, 2 * np.pi, len(spokes), endpoint=False)
    closed = np.append(angles, angles[0])
    figure, panels = layout.panels(1, width=6.4, height=5.4, projection="polar")
    ax = cast(PolarAxes, panels[0])
    ax.set_theta_zero_location("N")
    ax.set_theta_direction(-1)
    for place, (option, values) in enumerate(table.items()):
        look = style.look(place)
        ax.plot(
            closed, np.append(values, values[0]), color=look.colour, linestyle=look.line,
            linewidth=1.8, marker=look.marker, markersize=5, label=layout.wrapped(option, 30),
        )  # fmt: skip
    ax.set_ylim(floor, 100)
    ax.set_xticks(angles, spokes, fontsize=style.FONT_SIZE, parse_math=False)
    ax.tick_params(axis="x", pad=8, labelcolor=style.INK)
    for text, angle in zip(ax.get_xticklabels(), angles, strict=True):
        side = np.sin(angle)
        text.set(ha="center" if abs(side) < 0.2 else "left" if side > 0 else "right")
    rings = radar_rings(floor)
    ax.set_yticks(rings, radar_texts(rings, floor), fontsize=layout.SMALL)
    for text in ax.get_yticklabels():
        text.set(bbox={"facecolor": style.PAPER, "alpha": 0.85, "linewidth": 0, "pad": 1}, zorder=6)
    ax.set_rlabel_position(180 / len(spokes))
    ax.spines["polar"].set_visible(False)
    layout.heading(figure, title)
    layout.figure_legend(figure, ax, columns=2)
    return figure
