"""AUCs over datasets and options for the screen: in space, and as a radar."""

from __future__ import annotations

from typing import Any

import numpy as np

from insphere.errors import DataError
from insphere.figures import style
from insphere.figures.interactive.style import go, line, mark, new_figure, plain
from insphere.figures.measured import Runs, classes, datasets, options, select_runs
from insphere.figures.space import (
    AXIS,
    best_options,
    radar_floor,
    radar_rings,
    radar_table,
    radar_texts,
)


def auc_space(runs: Runs, title: str = "") -> Any:
    """Show every run as a point over its dataset and its option, at the height of its AUC.

    The parameters are those of `insphere.figures.space.auc_space`.
    """
    if not runs:
        raise DataError("This figure needs at least one run.")
    figure = new_figure(title)
    for place, name in enumerate(datasets(runs)):
        here = select_runs(runs, dataset=name)
        marker = mark(style.look(place), size=5)
        marker["symbol"] = _SOLID[place % len(_SOLID)]
        figure.add_trace(
            go.Scatter3d(
                x=[plain(run.dataset) for run in here],
                y=[plain(run.option) for run in here],
                z=[100 * run.values["auc"] for run in here],
                mode="markers",
                name=plain(name),
                marker=marker,
                text=[plain(f"{run.option}<br>{run.normal}, seed {run.seed}") for run in here],
                customdata=[run.run for run in here],
                hovertemplate="%{text}: %{z:.2f}",
            )
        )
    shared = {"gridcolor": style.GRID, "backgroundcolor": style.SOFT, "tickfont": {"size": 11}}
    figure.update_layout(
        height=700,
        scene={
            "xaxis": {"title": {"text": ""}, "type": "category", **shared},
            "yaxis": {
                "title": {"text": ""}, "type": "category", "categoryorder": "array",
                "categoryarray": [plain(name) for name in options(runs)], "dtick": 1, **shared,
            },
            "zaxis": {"title": {"text": AXIS, "font": {"size": 13}}, **shared},
            "aspectmode": "manual",
            "aspectratio": {"x": 0.9, "y": 1.5, "z": 0.9},
            "camera": {"eye": {"x": 2.3, "y": -1.85, "z": 0.75}},
        },
    )  # fmt: skip
    return figure


def radar(runs: Runs, baseline: str | None = None, title: str = "") -> Any:
    """Show the AUC of the best options around a circle, a spoke for each class.

    The parameters are those of `insphere.figures.space.radar`.
    """
    names = best_options(runs, baseline)
    if not names or len(classes(runs)) < 3:
        raise DataError("A radar needs an option that was measured on three classes or more.")
    spokes, table = radar_table(runs, names)
    floor = radar_floor(table)
    figure = new_figure(title)
    rings, angle = radar_rings(floor), 90 - 180 / len(spokes)
    around = [plain(name) for name in [*spokes, spokes[0]]]
    for place, (option, values) in enumerate(table.items()):
        look = style.look(place)
        figure.add_trace(
            go.Scatterpolar(
                r=np.append(values, values[0]),
                theta=around,
                name=plain(option),
                mode="lines+markers",
                line=line(look),
                marker={"symbol": look.symbol, "size": 8},
                hovertemplate="%{theta}: %{r:.1f}",
            )
        )
    figure.update_layout(
        height=560,
        polar={
            "bgcolor": "rgba(0,0,0,0)",
            "radialaxis": {
                "range": [floor, 100], "gridcolor": style.GRID, "linecolor": style.GRID,
                "tickvals": rings, "ticktext": radar_texts(rings, floor),
                "angle": angle, "tickangle": angle, "tickfont": {"color": style.MUTED},
            },
            "angularaxis": {
                "direction": "clockwise", "rotation": 90, "gridcolor": style.GRID,
                "linecolor": style.GRID, "type": "category", "categoryorder": "array",
                "categoryarray": around[:-1],
            },
        },
    )  # fmt: skip
    return figure


_SOLID = ("circle", "square", "diamond", "cross", "x")  # what three dimensions can draw
