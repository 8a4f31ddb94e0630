"""Average ranks for the screen."""

from __future__ import annotations

from typing import Any

from insphere.figures import style
from insphere.figures.interactive.style import go, new_figure, plain
from insphere.figures.ranks import Ranking


def critical_difference(ranking: Ranking, title: str = "") -> Any:
    """Show average ranks, the best at the top, each with half the critical difference around it.

    Two methods whose stretches do not touch differ. The parameters are those of
    `insphere.figures.comparison.critical_difference`.
    """
    figure = new_figure(title)
    names = [plain(name) for name in ranking.names]
    figure.add_trace(
        go.Scatter(
            x=ranking.ranks,
            y=names,
            mode="markers",
            marker={"size": 11, "color": style.NORMAL},
            error_x={"array": [ranking.critical_difference / 2] * len(names), "color": style.INK},
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        )
    )
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    figure.update_xaxes(
        title={
            "text": f"average rank over {ranking.n} classes, 1 is the best; "
            f"lines are half the critical difference of {ranking.critical_difference:.2f}"
        }
    )
    figure.update_layout(height=150 + 38 * len(names), showlegend=False)
    return figure
