"""Mean gains for the screen; the numbers are those of the printed ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from insphere.errors import DataError
from insphere.figures import gains, style
from insphere.figures.gains import Gain
from insphere.figures.interactive.style import axes, go, hatched, new_figure, plain


def gain_bars(found: Sequence[Gain], title: str = "") -> Any:
    """Show what each option gains on average, with what was assumed of it.

    The parameters are those of `insphere.figures.gains.gain_bars`.
    """
    if not found:
        raise DataError("There is no option whose gain could be drawn.")
    figure = new_figure(title)
    names = [plain(gain.option) for gain in found]
    looks = [style.GAIN if gain.mean >= 0 else style.LOSS for gain in found]
    spans = np.array([[gain.high - gain.mean, gain.mean - gain.low] for gain in found])
    whole = bool(np.isfinite(spans).any())
    marker = hatched(style.GAIN)
    marker["color"] = [look.colour for look in looks]
    marker["pattern"]["shape"] = [look.pattern for look in looks]
    figure.add_trace(
        go.Bar(
            x=[gain.mean for gain in found],
            y=names,
            orientation="h",
            marker=marker,
            name="measured",
            error_x={"array": spans[:, 0], "arrayminus": spans[:, 1], "color": style.INK}
            if whole
            else None,
            hovertemplate="%{y}: %{x:+.2f}<extra></extra>",
        )
    )
    with_assumption = [gain for gain in found if gain.assumed is not None]
    if with_assumption:
        figure.add_trace(
            go.Scatter(
                x=[gain.assumed for gain in with_assumption],
                y=[plain(gain.option) for gain in with_assumption],
                mode="markers",
                name="assumed",
                marker={
                    "symbol": "diamond",
                    "size": 11,
                    "color": style.PAPER,
                    "line": {"color": style.INK, "width": 1.5},
                },
                hovertemplate="%{y}: assumed %{x:+.2f}<extra></extra>",
            )
        )
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)
    figure.add_vline(x=0, line={"color": style.INK, "width": 1})
    axes(figure, x=gains.GAIN_AXIS)
    figure.update_layout(height=190 + 34 * len(found))
    return figure
