"""Decoded images of one size collected into stacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from insphere.data.decode import Decoded
from insphere.data.folder_layout import Entry
from insphere.data.stack import Stack
from insphere.errors import DataError

MAX_SIZES = 4  # different sizes after which the complaint is clear enough
MISMATCH_PATIENCE = 256  # images looked at after the first of another size


def gather(
    decoded: Iterator[Decoded],
    images: Stack,
    masks: Stack | None,
    *,
    channels: int | None,
) -> tuple[list[Entry], list[str]]:
    """Collect decoded images of one size into stacks.

    Without `channels`, the images stay grey as long as all of them are.

    Parameters
    ----------
    decoded : iterator of Decoded
        From `decode_entries`.
    images, masks : Stack
        Where pixels go; None for masks if there are none.
    channels : {1, 3}, optional
        What was asked for.

    Returns
    -------
    kept : list of Entry
        Entries in the stacks, in order.
    skipped : list of str
        Files that could not be decoded, each with the reason.

    Raises
    ------
    DataError
        If the images have different sizes.
    """
    kept: list[Entry] = []
    skipped: list[str] = []
    sizes: Counter[tuple[int, int]] = Counter()
    depth = channels
    mixed_since = 0
    for item in decoded:
        if item.pixels is None:
            skipped.append(f"{item.entry.name}: {item.reason}")
            continue
        height, width, found = item.pixels.shape
        sizes[height, width] += 1
        if len(sizes) > 1:
            mixed_since += 1
            if len(sizes) == MAX_SIZES or mixed_since == MISMATCH_PATIENCE:
                break
            continue
        pixels = item.pixels
        if depth is None:
            depth = found
        elif found > depth:
            images.widen()
            depth = found
        elif found < depth:
            pixels = np.repeat(pixels, depth, axis=2)
        images.append(pixels)
        if masks is not None:
            masks.append(np.zeros((height, width), np.uint8) if item.mask is None else item.mask)
        kept.append(item.entry)
    if len(sizes) > 1:
        seen = ", ".join(f"{height}×{width}" for height, width in sizes)
        raise DataError(
            f"The images differ in height × width ({seen}): say what to resize them to with "
            f"size=, for example size={min(min(sizes)):d}."
        )
    return kept, skipped
