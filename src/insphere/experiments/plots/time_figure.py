"""AUC against the time of training: what an option costs, and what it gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from insphere.experiments.analysis.run_collection import RunCollection
from insphere.experiments.plots.figure_spec import Content, FigureSpec
from insphere.figures import layout, style
from insphere.figures.measured import Spread, options, over_classes, select_runs

TIME_AXIS = "seconds of training for one class"
AUC_AXIS = "AUC, %"


@dataclass(frozen=True)
class Cost:
    """One option.

    Parameters
    ----------
    option : str
        Its name.
    seconds : float
        Mean time of training of its runs.
    auc : Spread
        AUC in per cent, mean over classes.
    """

    option: str
    seconds: float
    auc: Spread


def front(costs: Sequence[Cost], baseline: str | None = None) -> list[Cost]:
    """Return the baseline and the options for which no faster one has an AUC as high."""
    return [
        one
        for one in sorted(costs, key=lambda cost: cost.seconds)
        if one.option == baseline
        or not any(o.seconds < one.seconds and o.auc.mean >= one.auc.mean for o in costs)
    ]


def _costs(collection: RunCollection) -> list[Content]:
    """AUC and time of each option, for each dataset."""
    found = []
    for data in collection.datasets:
        costs, shown = [], []
        for option in options(collection.on(data)):
            runs = select_runs(collection.on(data), option=option)
            seconds = [row.get("fit_seconds") for row in collection.rows_of(runs)]
            timed = [float(value) for value in seconds if value]
            if len(timed) == len(runs):
                costs.append(Cost(option, sum(timed) / len(timed), over_classes(runs)))
                shown += runs
        if len(costs) > 1:
            found.append(
                Content(
                    (data,), f"{data}: AUC and time of training",
                    "Mean over classes and seeds; the axis of time is logarithmic. Named are the "
                    "baseline and the options for which no faster one has an AUC as high; others "
                    "are grey. Times were taken on the machine of each run and can be compared "
                    "only if these are alike.",
                    shown, (costs, collection.baseline),
                )
            )  # fmt: skip
    return found


def draw(costs: Sequence[Cost], baseline: str | None = None, title: str = "") -> Figure:
    """Draw a point for each option."""
    named = front(costs, baseline)
    names = [layout.wrapped(cost.option, 30) for cost in named]
    lines = sum(1 + name.count("\n") for name in names)
    figure, (ax,) = layout.panels(1, width=6.6, height=3.9 + 0.11 * lines)
    others = [cost for cost in costs if cost not in named]
    ax.plot(
        [cost.seconds for cost in others], [cost.auc.mean for cost in others], linestyle="none",
        marker="o", markersize=4, color=style.BASELINE,
    )  # fmt: skip
    for place, (cost, name) in enumerate(zip(named, names, strict=True)):
        look = style.look(place)
        ax.plot(
            [cost.seconds], [cost.auc.mean], linestyle="none", marker=look.marker, markersize=8,
            color=look.colour, label=name,
        )  # fmt: skip
    ax.set_xscale("log")
    style.label(ax, x=TIME_AXIS, y=AUC_AXIS)
    layout.heading(figure, title)
    layout.figure_legend(figure, ax, columns=2)
    return figure


def show(costs: Sequence[Cost], baseline: str | None = None, title: str = "") -> Any:
    """Show the same on the screen, where every point says its name."""
    from insphere.figures.interactive.style import axes, go, mark, new_figure, plain

    figure = new_figure(title)
    named = front(costs, baseline)
    for cost in [*(cost for cost in costs if cost not in named), *named]:
        known = cost in named
        look = style.look(named.index(cost)) if known else style.FIRST
        figure.add_trace(
            go.Scatter(
                x=[cost.seconds], y=[cost.auc.mean], mode="markers", name=plain(cost.option),
                showlegend=known, marker=mark(look, 11 if known else 6, 1.0),
                hovertemplate="%{x:.3g} s, %{y:.1f} %",
            )
        )  # fmt: skip
    figure.update_xaxes(type="log")
    axes(figure, x=TIME_AXIS, y=AUC_AXIS)
    return figure


TIME = FigureSpec(
    "time", "AUC and time of training", "two options with their times on a dataset",
    _costs, draw, show, shows="AUC against the time of training, a point for each option",
)  # fmt: skip
