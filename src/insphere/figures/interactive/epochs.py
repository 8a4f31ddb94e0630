"""What was measured at each epoch, for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from insphere.errors import DataError
from insphere.figures import style
from insphere.figures.epochs import LOSS_AXIS, epoch_lines, is_wide, log_ticks
from insphere.figures.history import Rows
from insphere.figures.interactive.style import axes, go, line, new_figure, plain


def training_lines(histories: Mapping[str, Rows], title: str = "") -> Any:
    """Show loss and, where it was measured, AUC while training, a line for each run.

    The parameters are those of `insphere.figures.epochs.training_lines`.
    """
    found = epoch_lines(histories)
    if not found:
        raise DataError("There is no training whose loss could be drawn.")
    names = list(histories)
    many: dict[str, Any] = {"shared_xaxes": True, "vertical_spacing": 0.06}
    figure = new_figure(title, rows=len(found), **(many if len(found) > 1 else {}))
    for row, (axis, lines) in enumerate(found.items(), start=1):
        where = {"row": row, "col": 1} if len(found) > 1 else {}
        for one in lines:
            figure.add_trace(
                go.Scatter(
                    x=one.epochs, y=one.values, mode="lines", name=plain(one.name),
                    legendgroup=one.name, showlegend=row == 1,
                    line=line(style.look(names.index(one.name))),
                    hovertemplate="epoch %{x}: %{y:.4g}",
                ),
                **where,
            )  # fmt: skip
        if axis == LOSS_AXIS and is_wide(lines):
            ticks = log_ticks(lines)
            texts = [f"{tick:g}" for tick in ticks]
            figure.update_yaxes(type="log", tickvals=ticks, ticktext=texts, **where)
        axes(figure, x="epoch" if row == len(found) else "", y=axis, **where)
    figure.update_layout(height=140 + 280 * len(found))
    return figure
