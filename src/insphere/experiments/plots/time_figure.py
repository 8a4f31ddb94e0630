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
                    "Mean over classes and seeds; the axis of time is logarithmic. Times were "
                    "taken on the machine of each run and can be compared only if these are alike.",
                    shown, (costs,),
                )
            )  # fmt: skip
    return found


def draw(costs: Sequence[Cost], title: str = "") -> Figure:
    """Draw a point for each option."""
    figure, (ax,) = layout.panels(1, width=6.6, height=4.6)
    for place, cost in enumerate(costs):
        look = style.look(place)
        ax.plot(
            [cost.seconds], [cost.auc.mean], linestyle="none", marker=look.marker, markersize=8,
            color=look.colour, label=layout.wrapped(cost.option, 30),
        )  # fmt: skip
    ax.set_xscale("log")
    style.label(ax, x=TIME_AXIS, y=AUC_AXIS)
    layout.heading(figure, title)
    layout.figure_legend(figure, ax, columns=2)
    return figure


def show(costs: Sequence[Cost], title: str = "") -> Any:
    """Show the same on the screen."""
    from insphere.figures.interactive.style import axes, go, mark, new_figure, plain

    figure = new_figure(title)
    for place, cost in enumerate(costs):
        figure.add_trace(
            go.Scatter(
                x=[cost.seconds], y=[cost.auc.mean], mode="markers", name=plain(cost.option),
                marker=mark(style.look(place), 11, 1.0),
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
