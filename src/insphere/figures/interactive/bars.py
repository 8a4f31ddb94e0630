"""Bars and heat maps for the screen; the numbers are those of the printed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from insphere.errors import DataError
from insphere.figures import auc_heatmap, bars, gains, style
from insphere.figures.auc_heatmap import HeatTable
from insphere.figures.bars import CHANCE, Pair, pairs, signed
from insphere.figures.gains import Gain
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
    told = [gain for gain in found if gain.assumed is not None]
    if told:
        figure.add_trace(
            go.Scatter(
                x=[gain.assumed for gain in told],
                y=[plain(gain.option) for gain in told],
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
