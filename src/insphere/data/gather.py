"""Decoded images of one size collected into stacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from insphere.data.decode import Decoded
from insphere.data.file_kinds import may_be_left_out
from insphere.data.listing import Entry
from insphere.data.stack import Stack
from insphere.errors import DataError


class SizesDifferError(DataError):
    """Two images differ in height or width, so that they do not form one array."""

    def __init__(self, one: tuple[int, int], other: tuple[int, int]) -> None:
        seen = " and ".join(f"{height}×{width}" for height, width in (one, other))
        super().__init__(f"The images differ in height × width ({seen}): give them a size.")


@dataclass
class Gathered:
    """The stacks, and the entries that could not be decoded.

    Attributes
    ----------
    kept : list of Entry
        Entries in the stacks, in order.
    skipped : list of str
        Files that could not be decoded, each with the reason.
    unread : list of str
        What is in the files, or of a kind, that is never read, each with the reason.
    """

    kept: list[Entry] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def gather(
    decoded: Iterator[Decoded],
    images: Stack,
    masks: Stack | None,
    *,
    channels: int | None,
) -> Gathered:
    """Collect decoded images of one size and depth into stacks.

    Without `channels`, the images stay grey as long as all of them are. Values of 16 bits become
    floats, on the same scale, as soon as one image has floats.

    Parameters
    ----------
    decoded : iterator of Decoded
        From `decode_entries`.
    images, masks : Stack
        Where pixels go; None for masks if there are none.
    channels : {1, 3}, optional
        What was asked for.

    Raises
    ------
    SizesDifferError
        If the images have different sizes.
    DataError
        If some have 8 bits for a value and some more.
    """
    found = Gathered()
    dtypes: dict[np.dtype[Any], str] = {}
    size: tuple[int, int] | None = None
    depth = channels
    promoted = False
    for item in decoded:
        if item.pixels is None:
            name = item.entry.name
            if may_be_left_out(name):
                found.unread.append(f"{name}: no HEIC or AVIF that can be read ({item.reason})")
            else:
                found.skipped.append(f"{name}: {item.reason}")
            continue
        if item.more:
            rest = "page 2" if item.more == 1 else f"pages 2 to {item.more + 1}"
            found.unread.append(f"{item.entry.name}: {rest} (the first is read)")
        height, width, own_depth = item.pixels.shape
        size = size or (height, width)
        if size != (height, width):
            raise SizesDifferError(size, (height, width))
        pixels = item.pixels
        dtypes.setdefault(pixels.dtype, item.entry.name)
        if len(dtypes) > 1:
            _refuse_mixed_depth(dtypes)
            if pixels.dtype != np.float32:
                pixels = pixels.astype(np.float32)
            elif not promoted:
                images.convert(lambda row: row.astype(np.float32))
            promoted = True
        if depth is None:
            depth = own_depth
        elif own_depth > depth:
            images.convert(lambda row: np.repeat(row, 3, axis=2))
            depth = own_depth
        elif own_depth < depth:
            pixels = np.repeat(pixels, depth, axis=2)
        images.append(pixels)
        if masks is not None:
            masks.append(np.zeros((height, width), np.uint8) if item.mask is None else item.mask)
        found.kept.append(item.entry)
    return found


def _refuse_mixed_depth(dtypes: dict[np.dtype[Any], str]) -> None:
    """Refuse images of 8 bits among others: nothing says how their values compare."""
    first = dtypes.get(np.dtype(np.uint8))
    if first is not None:
        other = next(name for dtype, name in dtypes.items() if dtype != np.uint8)
        raise DataError(
            f"Some images have 8 bits for a value ({first}) and some have more ({other}), so that "
            "their values cannot be compared: save all of them in the same way."
        )
