"""Relations between figures of merit for the screen."""

from __future__ import annotations

from typing import Any

import numpy as np

from insphere.errors import DataError
from insphere.figures import style
from insphere.figures.density import density, density_2d
from insphere.figures.interactive.style import axes, go, line, mark, new_figure, plain
from insphere.figures.relations import Columns, joint_limits


def pair_plot(data: Columns, title: str = "") -> Any:
    """Show every pair of columns as points; brushing in one panel marks the runs in all.

    The parameters are those of `insphere.figures.relations.pair_plot`.
    """
    figure = new_figure(title)
    for place, (name, here) in enumerate(data.groups):
        figure.add_trace(
            go.Splom(
                dimensions=[
                    {"label": plain(column), "values": values}
                    for column, values in zip(data.names, data.table[here].T, strict=True)
                ],
                name=plain(name),
                marker=mark(style.look(place), size=6),
                diagonal={"visible": False},
                showupperhalf=False,
            )
        )
    figure.update_layout(dragmode="select", height=160 + 170 * len(data.names), margin={"b": 90})
    small = {"size": 12, "color": style.MUTED}
    shared = {
        "gridcolor": style.GRID, "zeroline": False, "tickfont": small, "title": {"font": small},
    }  # fmt: skip
    for number in range(1, len(data.names) + 1):
        for axis in ("xaxis", "yaxis"):
            figure.update_layout({f"{axis}{number}": shared})
    return figure


def joint_density(data: Columns, title: str = "") -> Any:
    """Show two columns against each other with contours of their density, and each for itself.

    The parameters are those of `insphere.figures.relations.joint_density`.
    """
    if len(data.names) != 2:
        raise DataError(f"A joint density is of 2 columns, but there are {len(data.names)}.")
    figure = new_figure(
        title, rows=2, columns=2, column_widths=[0.8, 0.2], row_heights=[0.2, 0.8],
        shared_xaxes=True, shared_yaxes=True, horizontal_spacing=0.02, vertical_spacing=0.02,
    )  # fmt: skip
    densities = [density_2d(*data.table[here].T) for _, here in data.groups]
    limits = joint_limits(data, densities)
    for place, ((name, here), found) in enumerate(zip(data.groups, densities, strict=True)):
        look = style.look(place)
        x, y = data.table[here].T
        shared = {"name": plain(name), "legendgroup": name}
        if found is not None:
            gap = np.full((1, 2), np.nan)
            around = np.vstack([part for one in found.contours for part in (one, gap)])
            figure.add_trace(
                go.Scatter(
                    x=around[:, 0], y=around[:, 1], mode="lines", line=line(look, 1.2),
                    opacity=0.8, hoverinfo="skip", showlegend=False, **shared,
                ),
                row=2, col=1,
            )  # fmt: skip
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="markers", marker=mark(look, 7), **shared), row=2, col=1
        )
        for values, (low, high), row, col in ((x, limits[0], 1, 1), (y, limits[1], 2, 2)):
            at, height = density(values, low, high)
            ends = {"x": at, "y": height} if row == 1 else {"x": height, "y": at}
            figure.add_trace(
                go.Scatter(
                    **ends, mode="lines", line=line(look), showlegend=False, hoverinfo="skip",
                    **shared,
                ),
                row=row, col=col,
            )  # fmt: skip
    figure.update_xaxes(range=limits[0], row=2, col=1)
    figure.update_yaxes(range=limits[1], row=2, col=1)
    figure.update_yaxes(showticklabels=False, showgrid=False, row=1, col=1)
    figure.update_xaxes(showticklabels=False, showgrid=False, row=2, col=2)
    axes(figure, x=f"{data.names[0]} in %", y=f"{data.names[1]} in %", row=2, col=1)
    figure.update_layout(height=620)
    return figure
