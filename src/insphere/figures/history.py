"""Curves of training: loss, radius, share outside, and the quantities that the guard watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from insphere.figures import style

Rows = Sequence[Mapping[str, Any]]

_TRAINING = (
    ("pretrain", "loss", "pretraining\nloss", style.MUTED),
    ("train", "loss", "loss", style.NORMAL),
    ("train", "radius", "radius", style.NORMAL),
    ("train", "outside", "outside\nthe sphere", style.ANOMALOUS),
)
_GUARD = (
    ("train", "spread", "spread", style.ACCENT),
    ("train", "effective_rank", "effective\nrank", style.ACCENT),
    ("train", "score_spread", "spread of\nscores", style.ACCENT),
    ("train", "dead_units", "dead units", style.ANOMALOUS),
)

# Drawn from zero, so that a fall shows at its true size.
_FROM_ZERO = ("outside", "spread", "effective_rank", "score_spread", "dead_units")


def training_curves(history: Rows) -> Figure:
    """Draw pretraining loss, loss, radius and share outside the sphere by epoch.

    Each quantity has its own panel; quantities that the history does not hold have none.

    Parameters
    ----------
    history : sequence of mapping
        One row for each epoch, with any of ``phase`` ("pretrain" or "train", the default),
        ``epoch``, ``loss``, ``radius`` and ``outside`` (a share, 0…1). None, NaN and infinity
        leave a gap.
    """
    return _panels(history, _TRAINING, "There is no training history.")


def guard_curves(history: Rows) -> Figure:
    """Draw what the guard watches: spread, rank, spread of scores and dead units.

    The dotted line is the value of the first epoch, against which a collapse shows.

    Parameters
    ----------
    history : sequence of mapping
        One row for each epoch, with any of ``phase``, ``epoch``, ``spread``, ``effective_rank``,
        ``score_spread`` and ``dead_units`` (a share, 0…1). None, NaN and infinity leave a gap.
    """
    return _panels(history, _GUARD, "The collapse guard recorded nothing.", start_line=True)


def has_guard_curves(history: Rows) -> bool:
    """Say whether `guard_curves` would have anything to draw."""
    return any(series(history, phase, key)[1].size for phase, key, _, _ in _GUARD)


def series(history: Rows, phase: str, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return epochs and values of one quantity in one phase.

    Parameters
    ----------
    history : sequence of mapping
        Rows as for `training_curves`; a row without ``epoch`` counts on from 1 within its phase.
    phase : str
        "pretrain" or "train".
    key : str
        Name of the quantity.

    Returns
    -------
    epochs, values : ndarray of float64
        Unusable values are NaN; both are empty if no value can be used.
    """
    rows = [row for row in history if row.get("phase", "train") == phase]
    epochs = np.array([float(row.get("epoch", i + 1)) for i, row in enumerate(rows)])
    values = np.array([_number(row.get(key)) for row in rows])
    if not np.isfinite(values).any():
        return np.empty(0), np.empty(0)
    return epochs, values


def _number(value: Any) -> float:
    number = float("nan") if value is None else float(value)
    return number if np.isfinite(number) else float("nan")


def _panels(
    history: Rows,
    wanted: tuple[tuple[str, str, str, str], ...],
    nothing: str,
    *,
    start_line: bool = False,
) -> Figure:
    found = []
    for phase, key, name, colour in wanted:
        epochs, values = series(history, phase, key)
        if values.size:
            found.append((epochs, values, key, phase, name, colour))
    if not found:
        figure, (ax,) = style.new_figure(height=1.6)
        style.empty(ax, nothing)
        style.label(ax, x="epoch")
        return figure
    figure, axes = style.new_figure(len(found), height=0.75 + 1.2 * len(found))
    for ax, (epochs, values, key, _, name, colour) in zip(axes, found, strict=True):
        if start_line:
            ax.axhline(
                values[np.isfinite(values)][0], color=style.MUTED, linewidth=1, linestyle=":"
            )
        ax.plot(
            epochs,
            values,
            color=colour,
            linewidth=1.8,
            marker="o",
            markersize=3 if len(values) <= 60 else 0,
        )
        _scale(ax, key, values, epochs)
        style.label(ax, y=name)
    last = {item[3]: ax for item, ax in zip(found, axes, strict=True)}
    for ax, item in zip(axes, found, strict=True):
        if ax is last[item[3]]:
            style.label(ax, x="epoch of pretraining" if item[3] == "pretrain" else "epoch")
        else:
            ax.tick_params(labelbottom=False)
    figure.align_ylabels(axes)
    return figure


def _scale(ax: Axes, key: str, values: NDArray[np.float64], epochs: NDArray[np.float64]) -> None:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    if len(epochs) == 1:
        ax.set_xlim(epochs[0] - 1, epochs[0] + 1)
    if key != "outside" and low > 0 and high > 20 * low:
        ax.set_yscale("log")
        return
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4))
    if key in _FROM_ZERO and low >= 0:
        ax.set_ylim(0, high * 1.12 or 1)
    if key in ("outside", "dead_units"):
        style.percent_axis(ax, y=True)
