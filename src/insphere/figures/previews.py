"""Images of a data set by class, and test images in the order of their scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError, SpecError
from insphere.explain.score_checks import as_scores, as_truth
from insphere.figures import layout, style
from insphere.figures.grid import check_pixels

TILE = 0.62  # inches


def dataset_preview(
    images: NDArray[np.uint8],
    labels: ArrayLike,
    class_names: Sequence[str],
    *,
    per_class: int = 10,
    title: str = "",
) -> Figure:
    """Draw some images of every class, a row for each class.

    The images are spread evenly over those of the class, in their order.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        Pixels; C is 1 (grey) or 3 (RGB).
    labels : array-like of int, shape (N,)
        Class of each image.
    class_names : sequence of str
        Name of each class.
    per_class : int
        At most how many images of a class.
    title : str
        Heading of the figure.

    Raises
    ------
    DataError
        If the images have another form, or there are none.
    SpecError
        If `per_class` is less than 1.
    """
    check_pixels(images)
    if per_class < 1:
        raise SpecError(f"per_class must be at least 1, but is {per_class}.")
    of_class = np.asarray(labels)
    rows = []
    for number, name in enumerate(class_names):
        here = np.flatnonzero(of_class == number)
        if len(here):
            rows.append((name, images[here[evenly(len(here), per_class)]]))
    if not rows:
        raise DataError("There is no image to show.")
    return _rows(rows, max(len(found) for _, found in rows), title)


def images_by_score(
    images: NDArray[np.uint8],
    scores: ArrayLike,
    truth: ArrayLike | None = None,
    *,
    columns: int = 12,
    title: str = "",
) -> Figure:
    """Draw test images from the lowest score to the highest, with the score below each.

    The first row shows the most normal, the last one the most anomalous images; those between
    are spread evenly over the ranks. With the truth, normal and anomalous images have frames of
    their own, the latter dashed.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        Pixels; C is 1 (grey) or 3 (RGB).
    scores : array-like of float, shape (N,)
        Anomaly scores, higher is more anomalous.
    truth : array-like of int or bool, shape (N,), optional
        0 for normal, 1 for anomalous.
    columns : int
        Images in a row.
    title : str
        Heading of the figure.
    """
    check_pixels(images)
    values = as_scores(scores)
    if len(values) != len(images):
        raise DataError(f"There are {len(images)} images but {len(values)} scores.")
    anomalous = None if truth is None else as_truth(truth, len(values))
    parts = score_ladder(values, columns)
    figure, axes = _tiles(len(parts), columns, images.shape[1:3], below=0.2, apart=0.05)
    for (name, index), line in zip(parts.items(), axes, strict=True):
        for ax in line[len(index) :]:
            ax.set_visible(False)
        for ax, i in zip(line, index, strict=False):
            _show(ax, images[i])
            ax.set_xlabel(
                f"{values[i]:.3g}", fontsize=7, color=style.INK, family=style.FAMILY, labelpad=2
            )
            if anomalous is not None:
                _frame(ax, bool(anomalous[i]))
        _row_name(line[0], name)
    layout.heading(figure, title)
    if anomalous is not None:
        _frame_legend(figure)
    return figure


def score_ladder(scores: NDArray[np.float64], columns: int) -> dict[str, NDArray[np.int64]]:
    """Return which images stand in each row of `images_by_score`, by the name of the row.

    Parameters
    ----------
    scores : ndarray, shape (N,)
        Anomaly scores.
    columns : int
        Images in a row.
    """
    order = np.argsort(scores, kind="stable").astype(np.int64)
    if len(order) <= 2 * columns:
        return {"all": order[:columns]} | ({"": order[columns:]} if len(order) > columns else {})
    between = order[columns:-columns]
    return {
        "most\nnormal": order[:columns],
        "evenly\nbetween": between[evenly(len(between), columns)],
        "most\nanomalous": order[-columns:],
    }


def evenly(n: int, wanted: int) -> NDArray[np.int64]:
    """Return at most `wanted` of the places 0 … n − 1, as far apart as possible."""
    places: NDArray[np.int64] = np.linspace(0, n - 1, min(n, wanted)).round().astype(np.int64)
    return places


def _rows(rows: Sequence[tuple[str, NDArray[np.uint8]]], columns: int, title: str) -> Figure:
    figure, axes = _tiles(len(rows), columns, rows[0][1].shape[1:3])
    for (name, found), line in zip(rows, axes, strict=True):
        for ax in line[len(found) :]:
            ax.set_visible(False)
        for ax, image in zip(line, found, strict=False):
            _show(ax, image)
        _row_name(line[0], name)
    layout.heading(figure, title)
    return figure


def _tiles(
    rows: int, columns: int, size: tuple[int, ...], below: float = 0.0, apart: float = 0.02
) -> tuple[Figure, list[list[Axes]]]:
    tall = TILE * size[0] / size[1] + below
    figure = Figure(
        figsize=(1.15 + columns * (TILE + apart), 0.45 + rows * (tall + 0.04)),
        facecolor=style.PAPER,
        layout=ConstrainedLayoutEngine(h_pad=0.02, w_pad=apart, hspace=0.0, wspace=0.0),
    )
    grid = figure.add_gridspec(rows, columns)
    return figure, [[figure.add_subplot(grid[i, j]) for j in range(columns)] for i in range(rows)]


def _show(ax: Axes, image: NDArray[np.uint8]) -> None:
    ax.imshow(
        image[..., 0] if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=255,
        interpolation="antialiased" if max(image.shape) > 64 else "nearest",
    )  # fmt: skip
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_color(style.GRID)


def _row_name(ax: Axes, name: str) -> None:
    ax.set_ylabel(
        layout.wrapped(name, 12) if "\n" not in name else name, rotation=0, ha="right", va="center",
        labelpad=6, fontsize=layout.SMALL, color=style.INK, family=style.FAMILY, parse_math=False,
    )  # fmt: skip


def _frame(ax: Axes, anomalous: bool) -> None:
    colour = style.ANOMALOUS if anomalous else style.NORMAL
    for spine in ax.spines.values():
        spine.set(color=colour, linewidth=1.8, linestyle=(0, (2.2, 1.2)) if anomalous else "-")


def _frame_legend(figure: Figure) -> None:
    ax = figure.axes[0]
    for name, colour, line in (
        ("truly normal", style.NORMAL, "-"),
        ("truly anomalous", style.ANOMALOUS, (0, (2, 1))),
    ):
        ax.plot([], [], color=colour, linestyle=line, linewidth=2, label=name)
    layout.figure_legend(figure, ax)
