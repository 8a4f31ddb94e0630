"""Plotly figures of one run: while it trains, and when it is done.

A figure is a plain dict, so that drawing one needs no library here. Text and grid take their
colours from the page around them (see the studio's style sheet); what means something is told by
colour and once more by dash, symbol or name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.figures.style import ANOMALOUS, NORMAL

Figure = dict[str, Any]

MOST_POINTS = 400  # of a line: a screen shows no more
ACCENT = "#0b8f6a"
MUTED = "#8a929a"
_FONT = {"family": "Roboto, system-ui, sans-serif", "size": 12, "color": "#6b737b"}
_CONFIG = {"displayModeBar": False, "responsive": False, "scrollZoom": False}


def training_curve(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the loss by epoch, pretraining and training one after the other.

    Parameters
    ----------
    history : sequence of dict
        Records with phase, epoch and loss.
    """
    names = {"pretrain": ("autoencoder", MUTED, "dot"), "train": ("sphere", ACCENT, "solid")}
    data = []
    for phase in dict.fromkeys(record["phase"] for record in history):
        name, color, dash = names.get(phase, (phase, ACCENT, "solid"))
        own = [record for record in history if record["phase"] == phase]
        own = [*own[: -1 : len(own) // MOST_POINTS + 1], own[-1]]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [record["epoch"] for record in own],
                "y": [record["loss"] for record in own],
                "line": {"color": color, "dash": dash, "width": 2},
                "hovertemplate": "epoch %{x}: %{y:.4g}<extra></extra>",
            }
        )
    layout = _layout("epoch", "loss")
    layout["yaxis"] |= _loss_axis([record["loss"] for record in history])
    return _figure(data, layout) if data else _waiting("comes with the first epoch")


def auc_curve(epochs: Sequence[int], aucs: Sequence[float], baseline: float | None) -> Figure:
    """Draw the AUC by epoch, and that of the baseline when it is known.

    Parameters
    ----------
    epochs : sequence of int
        Where it was looked at.
    aucs : sequence of float
        AUCs, 0 to 1.
    baseline : float or None
        AUC of the finished baseline.
    """
    if not len(epochs):
        return _waiting("comes with the sphere, after pretraining")
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "this run",
            "x": list(epochs),
            "y": [100 * auc for auc in aucs],
            "line": {"color": ACCENT, "width": 2},
            "marker": {"size": 4},
            "hovertemplate": "epoch %{x}: %{y:.1f} %<extra></extra>",
        }
    ]
    layout = _layout("epoch", "AUC, %")
    if baseline is not None:
        layout["shapes"] = [_line(y=100 * baseline)]
        layout["annotations"] = [
            _note(f"baseline {100 * baseline:.1f}", x=1, y=100 * baseline, xref="paper")
        ]
    return _figure(data, layout)


def latent_sphere(points: ArrayLike, truth: ArrayLike, radius: float) -> Figure:
    """Draw where images lie around the centre, and the sphere.

    Parameters
    ----------
    points : array-like of float, shape (n, 2)
        Their distance to the origin is that to the centre.
    truth : array-like of int, shape (n,)
        0 is normal, 1 anomalous.
    radius : float
        Of the sphere; 0 draws none.
    """
    xy, kinds = np.asarray(points, np.float64).reshape(-1, 2), np.asarray(truth)
    if not len(xy):
        return _waiting("comes with the sphere, after pretraining")
    data: list[Figure] = []
    for kind, name, color, symbol in (
        (1, "anomalous", ANOMALOUS, "x-thin-open"),
        (0, "normal", NORMAL, "circle"),
    ):
        own = xy[kinds == kind]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": own[:, 0].tolist(),
                "y": own[:, 1].tolist(),
                "marker": {
                    "color": color,
                    "symbol": symbol,
                    "size": 6,
                    "opacity": 0.75,
                    "line": {"color": color, "width": 1.2},
                },
                "hoverinfo": "skip",
            }
        )
    reach = float(np.quantile(np.abs(xy), 0.99))
    reach = 1.08 * max(reach, radius, 1e-9)
    layout = _layout("", "")
    layout["xaxis"] |= {"range": [-reach, reach], "showgrid": False, "showticklabels": False}
    layout["yaxis"] |= {
        "range": [-reach, reach],
        "showgrid": False,
        "showticklabels": False,
        "scaleanchor": "x",
    }
    layout["margin"] |= {"l": 8, "b": 8}
    circle = {"type": "circle", "x0": -radius, "x1": radius, "y0": -radius, "y1": radius}
    cross = {"color": MUTED, "width": 1}
    size = 0.02 * reach
    layout["shapes"] = [
        circle | {"line": {"color": ACCENT, "width": 1.5}, "fillcolor": "rgba(11,143,106,0.06)"},
        {"type": "line", "x0": -size, "x1": size, "y0": 0, "y1": 0, "line": cross},
        {"type": "line", "x0": 0, "x1": 0, "y0": -size, "y1": size, "line": cross},
    ]
    return _figure(data, layout)


def score_histogram(scores: ArrayLike, truth: ArrayLike, threshold: float, unit: str) -> Figure:
    """Draw the scores of normal and anomalous images, each as a share of its own kind.

    Parameters
    ----------
    scores : array-like of float, shape (n,)
        Anomaly scores.
    truth : array-like of int, shape (n,)
        0 is normal, 1 anomalous.
    threshold : float
        Where the line is.
    unit : str
        Title of the axis.
    """
    values, kinds = np.asarray(scores, np.float64), np.asarray(truth)
    low, high = score_range(values)
    edges = np.linspace(low, high, 49)
    clipped = np.clip(values, low, high)
    data: list[Figure] = []
    for kind, name, color, pattern in ((0, "normal", NORMAL, ""), (1, "anomalous", ANOMALOUS, "/")):
        own = clipped[kinds == kind]
        counts = np.histogram(own, edges)[0]
        data.append(
            {
                "type": "bar",
                "name": name,
                "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
                "y": (100 * counts / max(len(own), 1)).tolist(),
                "width": float(edges[1] - edges[0]),
                "marker": {
                    "color": color,
                    "opacity": 0.6,
                    "line": {"width": 0},
                    "pattern": {"shape": pattern, "size": 5, "solidity": 0.25},
                },
                "hovertemplate": f"{name}: %{{y:.1f}} %<extra></extra>",
            }
        )
    layout = _layout(unit, "share of its kind, %")
    layout |= {"barmode": "overlay", "bargap": 0, "shapes": [threshold_line(threshold)]}
    layout["xaxis"]["range"] = [low, high]
    return _figure(data, layout)


def threshold_line(threshold: float) -> Figure:
    """Return the line of a threshold, to move it without drawing the figure again."""
    return _line(x=threshold) | {"line": {"color": ACCENT, "width": 2, "dash": "solid"}}


def score_range(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Return from where to where scores are drawn: all but the last of a very long tail."""
    low, high = float(scores.min()), float(np.quantile(scores, 0.99))
    high = min(float(scores.max()), low + 1.15 * (high - low))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def roc(curves: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Draw ROC curves.

    Parameters
    ----------
    curves : mapping of str to (array, array)
        False and true positive rates by name, the main one first.
    """
    styles = [(ACCENT, "solid", 2.5), (MUTED, "dash", 2.0), (NORMAL, "dot", 1.5)]
    data: list[Figure] = []
    for place, (name, (fpr, tpr)) in enumerate(curves.items()):
        color, dash, width = styles[min(place, len(styles) - 1)]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": (100 * np.asarray(fpr, np.float64)).tolist(),
                "y": (100 * np.asarray(tpr, np.float64)).tolist(),
                "line": {"color": color, "dash": dash, "width": width},
                "hovertemplate": "%{x:.1f} % false alarms: %{y:.1f} % found<extra></extra>",
            }
        )
    layout = _layout("false alarms, %", "anomalies found, %")
    layout["xaxis"]["range"], layout["yaxis"]["range"] = [-1, 101], [-1, 101]
    chance = {"type": "line", "x0": 0, "x1": 100, "y0": 0, "y1": 100}
    layout["shapes"] = [chance | {"line": {"color": MUTED, "width": 1, "dash": "dot"}}]
    return _figure(data, layout)


def _loss_axis(losses: Sequence[float]) -> Figure:
    """Return an axis with labels: powers of ten only where the losses span some of them."""
    known = [loss for loss in losses if loss > 0]
    span = max(known) / min(known) if known else 1.0
    if span < 10:
        return {"type": "linear", "tickformat": ".3~g"}
    return {"type": "log", "exponentformat": "power", "dtick": 1 if span > 100 else "D2"}


def _waiting(text: str) -> Figure:
    """Return a figure that says when there will be something in it."""
    layout = _layout("", "") | {"showlegend": False}
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= {"visible": False}
    place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
    centred = {"xanchor": "center", "yanchor": "middle", "font": {"size": 13}}
    layout["annotations"] = [_note(text, **place) | centred]
    return _figure([], layout)


def _figure(data: list[Figure], layout: Figure) -> Figure:
    return {"data": data, "layout": layout, "config": dict(_CONFIG)}


def _layout(x: str, y: str) -> Figure:
    axis = {
        "gridcolor": "rgba(128,136,144,0.18)",
        "zeroline": False,
        "zerolinecolor": "rgba(128,136,144,0.6)",
        "tickfont": {"size": 11},
        "automargin": True,
        "fixedrange": True,
    }
    return {
        "font": _FONT,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 48, "r": 12, "t": 30, "b": 40},
        "xaxis": axis | {"title": {"text": x, "standoff": 8}},
        "yaxis": axis | {"title": {"text": y, "standoff": 8}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "showlegend": True,
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": _FONT["family"]}},
        "uirevision": "kept",
        "autosize": True,
    }


def _line(*, x: float | None = None, y: float | None = None) -> Figure:
    style = {"line": {"color": MUTED, "width": 1.5, "dash": "dash"}, "type": "line"}
    if x is not None:
        return style | {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
    return style | {"x0": 0, "x1": 1, "y0": y, "y1": y, "xref": "paper"}


def _note(text: str, **where: Any) -> Figure:
    placed = {"text": text, "showarrow": False, "xanchor": "right", "yanchor": "bottom"}
    return placed | {"font": {"size": 11}} | where
