"""Images side by side with a caption under each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from insphere.errors import DataError, SpecError
from insphere.figures import style

TILE = 0.9  # inches


def image_grid(
    images: NDArray[np.uint8], captions: Sequence[str] | None = None, *, columns: int = 8
) -> Figure:
    """Draw images in rows.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        Pixels; C is 1 (grey) or 3 (RGB). They are shown as they are: no image is stretched in
        brightness.
    captions : sequence of str, length N, optional
        A short text under each image, such as its score.
    columns : int
        At most how many images stand in a row.

    Raises
    ------
    DataError
        If the images have another form, or their number is not that of the captions.
    SpecError
        If `columns` is less than 1.
    """
    check_pixels(images)
    n, height, width, _ = images.shape
    if captions is not None and len(captions) != n:
        raise DataError(f"There are {n} images but {len(captions)} captions.")
    if columns < 1:
        raise SpecError(f"columns must be at least 1, but is {columns}.")
    columns = min(columns, n)
    rows = -(-n // columns)
    tile_height = TILE * height / width + (0.22 if captions is not None else 0)
    figure = Figure(
        figsize=(columns * TILE, rows * tile_height), facecolor=style.PAPER, layout="constrained"
    )
    smooth = max(height, width) > 64
    for place, image in enumerate(images):
        ax = figure.add_subplot(rows, columns, place + 1)
        ax.imshow(
            image[..., 0] if image.shape[2] == 1 else image,
            cmap="gray",
            vmin=0,
            vmax=255,
            interpolation="antialiased" if smooth else "nearest",
        )
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_color(style.GRID)
        if captions is not None:
            ax.set_xlabel(
                captions[place],
                fontsize=7.5,
                color=style.INK,
                family=style.FAMILY,
                labelpad=2,
                parse_math=False,
            )
    return figure


def check_pixels(images: NDArray[np.uint8]) -> None:
    """Raise an error unless this is a batch of images.

    Raises
    ------
    DataError
        If the images are not uint8 of shape N×H×W×C.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            "A grid shows uint8 images of shape N×H×W×C with 1 or 3 channels, but got "
            f"{images.dtype} of shape {images.shape}."
        )
    if not len(images):
        raise DataError("A grid needs at least one image.")
