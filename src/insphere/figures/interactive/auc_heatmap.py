"""Heat maps for the screen; the numbers are those of the printed ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from insphere.errors import DataError
from insphere.figures import auc_heatmap
from insphere.figures.auc_heatmap import HeatTable
from insphere.figures.interactive.style import go, new_figure, plain


def heat_map(table: HeatTable, title: str = "") -> Any:
    """Show a heat map with its numbers in the cells.

    The parameters are those of `insphere.figures.auc_heatmap.heat_map`.
    """
    if not np.isfinite(table.values).any():
        raise DataError("A heat map needs at least one number.")
    figure = new_figure(title)
    figure.add_trace(
        go.Heatmap(
            z=table.values,
            x=[plain(name) for name in table.columns],
            y=[plain(name) for name in table.rows],
            text=[list(row) for row in table.texts],
            texttemplate="%{text}",
            colorscale="Cividis",
            xgap=2,
            ygap=2,
            colorbar={
                "title": {"text": auc_heatmap.COLOUR_BAR, "side": "right"},
                "outlinewidth": 0,
            },
            hovertemplate="%{y}, %{x}: %{z:.2f}<extra></extra>",
        )
    )
    figure.update_xaxes(showgrid=False, type="category")
    figure.update_yaxes(showgrid=False, type="category", autorange="reversed")
    figure.update_layout(height=210 + 36 * len(table.rows))
    return figure
