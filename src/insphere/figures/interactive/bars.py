"""Bars for the screen; the numbers are those of the printed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from insphere.errors import DataError
from insphere.figures import bars, style
from insphere.figures.bars import CHANCE, Pair, pairs, signed
from insphere.figures.interactive.style import axes, go, hatched, new_figure, plain
from insphere.figures.measured import Runs, Spread, changes, classes, options

SHOWN = 3  # options at first; a click in the legend shows the others


def option_bars(runs: Runs, baseline: str, title: str = "") -> Any:
    """Show the AUC of the baseline and of each option by class.

    The parameters are those of `insphere.figures.bars.option_bars`. All options are in one plot; a
    click in the legend hides or shows one.
    """
    shown = pairs(runs, baseline)
    names = classes(runs)
    figure = _bar_figure(title)
    figure.add_trace(_bars(baseline, shown[0].first, names, style.FIRST))
    for place, pair in enumerate(shown):
        trace = _bars(pair.title, pair.second, names, style.look(place))
        trace.visible = True if place < SHOWN else "legendonly"
        figure.add_trace(trace)
    return figure


def published_bars(measured: Sequence[Pair], title: str = "") -> Any:
    """Show published AUCs beside measured ones by class, two bars for each method.

    The parameters are those of `insphere.figures.bars.published_bars`.
    """
    if not measured:
        raise DataError("Nothing was published to compare with.")
    names = list(dict.fromkeys(name for pair in measured for name in pair.second))
    figure = _bar_figure(title)
    for place, pair in enumerate(measured):
        visible = True if place == 0 else "legendonly"
        for word, values, look in (
            ("published", pair.first, style.FIRST),
            ("measured", pair.second, style.look(place)),
        ):
            trace = _bars(f"{pair.title}, {word}", values, names, look)
            trace.update(visible=visible, legendgroup=pair.title)
            figure.add_trace(trace)
    return figure


def change_bars(runs: Runs, baseline: str, title: str = "") -> Any:
    """Show by how many points each option changes the AUC of each class.

    The parameters are those of `insphere.figures.bars.change_bars`.
    """
    found = {name: changes(runs, baseline, name) for name in options(runs) if name != baseline}
    found = {name: by_name for name, by_name in found.items() if by_name}
    if not found:
        raise DataError(f"No run has the class and the seed of one of {baseline}.")
    names = classes(runs)
    figure = _bar_figure(title)
    for place, (option, by_name) in enumerate(found.items()):
        means = [float(values.mean()) for values in by_name.values()]
        seeds = [", ".join(signed(v) for v in values) for values in by_name.values()]
        figure.add_trace(
            go.Bar(
                x=[plain(name) for name in by_name],
                y=means,
                name=plain(f"{option}: mean {signed(float(np.mean(means)))}"),
                marker=hatched(style.look(place)),
                customdata=seeds,
                hovertemplate="%{x}: %{y:+.2f}<br>by seed: %{customdata}",
                visible=True if place < SHOWN else "legendonly",
            )
        )
    figure.update_xaxes(categoryarray=[plain(name) for name in names])
    axes(figure, y=bars.CHANGE_AXIS)
    figure.add_hline(y=0, line={"color": style.INK, "width": 1})
    return figure


def _bar_figure(title: str) -> Any:
    figure = new_figure(title)
    figure.update_layout(
        barmode="group", bargap=0.25, bargroupgap=0.03, hovermode="closest", height=460,
        legend={"orientation": "h", "y": -0.18, "yanchor": "top", "x": 0},
    )  # fmt: skip
    figure.update_xaxes(type="category", showgrid=False, showline=False)
    axes(figure, y=bars.AXIS)
    return figure


def _bars(title: str, values: Mapping[str, Spread], names: Sequence[str], look: style.Look) -> Any:
    shown = [(name, values[name]) for name in names if name in values]
    spreads = [one.std for _, one in shown]
    return go.Bar(
        x=[plain(name) for name, _ in shown],
        y=[one.mean - CHANCE for _, one in shown],
        base=CHANCE,
        name=plain(title),
        marker=hatched(look),
        customdata=[one.text for _, one in shown],
        hovertemplate="%{x}: %{customdata}",
        error_y={"array": spreads, "color": style.INK, "thickness": 1.2, "width": 3}
        if any(spreads)
        else None,
    )
