"""The latent space for the screen."""

from __future__ import annotations

from typing import Any

import numpy as np

from insphere.figures import style
from insphere.figures.interactive.style import go, new_figure, plain, tinted
from insphere.figures.latent_map import EXACT, PROJECTED, SPREAD_OUT
from insphere.figures.layout import wrapped
from insphere.figures.plane import Plane


def latent_plane(plane: Plane, title: str = "") -> Any:
    """Show the latent space as a projection and with true distances, side by side.

    The parameters are those of `insphere.figures.latent_map.latent_plane`.
    """
    figure = new_figure(
        title, rows=1, columns=2, horizontal_spacing=0.09,
        subplot_titles=[PROJECTED, SPREAD_OUT],
    )  # fmt: skip
    limit = plane.limit
    for column, (points, text) in enumerate(
        ((plane.projected, plane.honesty), (plane.spread_out, EXACT)), start=1
    ):
        where = {"row": 1, "col": column}
        for name, here, colour, symbol in (
            ("anomalous", plane.truth, style.ANOMALOUS, "triangle-up-open"),
            ("normal", ~plane.truth, style.NORMAL, "circle-open"),
        ):
            figure.add_trace(
                go.Scatter(
                    x=points[here, 0], y=points[here, 1], mode="markers", legendgroup=name,
                    name=f"{name} ({int(here.sum()):,})", showlegend=column == 1,
                    marker={"symbol": symbol, "size": 6, "color": tinted(colour, 0.7)},
                    customdata=plane.distances[here], text=np.flatnonzero(here),
                    hovertemplate="image %{text}<br>%{customdata:.3g} from the centre",
                ),
                **where,
            )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=[0], y=[0], mode="markers", name="centre", showlegend=column == 1,
                legendgroup="centre", hoverinfo="name",
                marker={
                    "symbol": "cross", "size": 13, "color": style.INK,
                    "line": {"color": style.PAPER, "width": 1.2},
                },
            ),
            **where,
        )  # fmt: skip
        r = plane.radius
        figure.add_shape(
            type="circle", x0=-r, y0=-r, x1=r, y1=r, line={"color": style.INK, "width": 2}, **where
        )
        axis = "" if column == 1 else "2"
        figure.update_xaxes(
            range=[-limit, limit], title={"text": plain(wrapped(text, 66)), "font": {"size": 12}},
            **where,
        )  # fmt: skip
        figure.update_yaxes(range=[-limit, limit], scaleanchor=f"x{axis}", **where)
    figure.add_trace(
        go.Scatter(
            x=[None], y=[None], mode="markers", name=f"radius {plane.radius:.3g}",
            marker={"symbol": "circle-open", "size": 14, "color": style.INK, "line": {"width": 2}},
        ),
        row=1, col=1,
    )  # fmt: skip
    figure.update_layout(
        height=620, legend={"orientation": "h", "y": -0.24, "yanchor": "top"}, dragmode="pan"
    )
    figure.for_each_annotation(lambda note: note.update(xanchor="center"))
    return figure
