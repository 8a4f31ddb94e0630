"""The look that all figures on the screen share: that of the printed ones, with Plotly."""

from __future__ import annotations

from typing import Any

from insphere.errors import require
from insphere.figures import style

require("plotly", "figures", "A figure for the screen")

import plotly.graph_objects as go  # noqa: E402
from plotly.subplots import make_subplots  # noqa: E402

__all__ = ["axes", "go", "hatched", "line", "mark", "new_figure", "plain", "tinted"]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_CLEAR = "rgba(0,0,0,0)"


def new_figure(title: str = "", *, rows: int = 1, columns: int = 1, **subplots: Any) -> Any:
    """Return an empty figure dressed in the shared style.

    Parameters
    ----------
    title : str
        Heading; empty for none.
    rows, columns : int
        Panels.
    **subplots
        For `plotly.subplots.make_subplots`, if there is more than one panel.
    """
    figure = (
        go.Figure() if rows * columns == 1 else make_subplots(rows=rows, cols=columns, **subplots)
    )
    figure.update_layout(
        template="none",
        title={"text": plain(title), "x": 0.01, "xanchor": "left", "font": {"size": 17}}
        if title
        else None,
        font={"family": FONT, "size": 13, "color": style.INK},
        paper_bgcolor=_CLEAR,
        plot_bgcolor=_CLEAR,
        hoverlabel={"font": {"family": FONT, "size": 12}, "bgcolor": style.PAPER},
        legend={"font": {"size": 12}, "itemsizing": "constant"},
        margin={"l": 70, "r": 20, "t": 60 if title else 24, "b": 56},
        colorway=[style.look(place).colour for place in range(10)],
    )
    if subplots.get("subplot_titles"):
        figure.update_annotations(font={"size": 13, "family": FONT}, xanchor="left", align="left")
    figure.update_xaxes(**_AXIS)
    figure.update_yaxes(**_AXIS)
    return figure


def axes(figure: Any, *, x: str = "", y: str = "", **where: Any) -> None:
    """Name the axes of a figure, or of one of its panels (row, col)."""
    if x:
        figure.update_xaxes(title=_title(x), **where)
    if y:
        figure.update_yaxes(title=_title(y), **where)


def _title(text: str) -> dict[str, Any]:
    return {"text": plain(text), "font": {"size": 13, "color": style.MUTED}, "standoff": 12}


def hatched(look: style.Look, opacity: float = 1.0) -> dict[str, Any]:
    """Return the filling of bars."""
    return {
        "color": look.colour,
        "opacity": opacity,
        "pattern": {
            "shape": look.pattern,
            "fillmode": "overlay",
            "fgcolor": style.PAPER,
            "fgopacity": 0.65,
            "size": 7,
            "solidity": 0.25,
        },
    }


def mark(look: style.Look, size: float = 8, opacity: float = 0.75) -> dict[str, Any]:
    """Return the form of points."""
    return {
        "color": look.colour,
        "symbol": look.symbol,
        "size": size,
        "opacity": opacity,
        "line": {"width": 0.8, "color": style.PAPER},
    }


def line(look: style.Look, width: float = 2) -> dict[str, Any]:
    """Return the form of a line."""
    return {"color": look.colour, "dash": look.dash, "width": width}


def plain(text: str) -> str:
    """Return a text that Plotly shows letter by letter, with no markup in it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", "<br>")


def tinted(colour: str, alpha: float) -> str:
    """Return a hexadecimal colour, partly transparent."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


_AXIS: dict[str, Any] = {
    "gridcolor": style.GRID,
    "linecolor": style.MUTED,
    "zeroline": False,
    "tickfont": {"size": 12, "color": style.MUTED},
    "automargin": True,
}
