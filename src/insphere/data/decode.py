"""Image files of any kind to uint8 pixels, in parallel, each file decoded once.

What becomes of unusual files: 16-bit grey is divided by 257 (65535 becomes 255) and rounded;
palettes become grey if all their colours are, else RGB; transparent pixels are blended onto black,
the value that adds nothing in a network without biases; EXIF rotation is applied; of an animation
the first frame is taken. Resizing stretches to the given height and width, with a triangle filter
that averages when it shrinks.
"""

from __future__ import annotations

import io
import os
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from insphere.data.files import ImageFiles
from insphere.data.folder_layout import Entry
from insphere.data.progress import Progress

MAX_WORKERS = 8
SMALL_FILE = 6000  # bytes of an encoded image below which threads only wait for each other
CHUNK = 8  # images a thread decodes at a time

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels (H, W, C) and mask (H, W) of one entry, or why there are none."""

    entry: Entry
    pixels: Pixels | None = None
    mask: Pixels | None = None
    reason: str = ""


@cache
def _formats() -> tuple[str, ...]:
    """Return formats that only hold pixels: none starts an interpreter, as PostScript would."""
    wanted = ("PNG", "JPEG", "MPO", "PPM", "BMP", "DIB", "GIF", "TIFF", "WEBP", "AVIF")
    Image.init()
    return tuple(name for name in (*wanted, "JPEG2000", "TGA") if name in Image.OPEN)


def open_image(data: bytes) -> Image.Image:
    """Read the header of an image; its pixels are decoded when they are first used.

    Raises
    ------
    OSError
        If it is no image.
    PIL.Image.DecompressionBombError
        If it has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    image = Image.open(io.BytesIO(data), formats=_formats())
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise Image.DecompressionBombError(
            f"{image.width}×{image.height} pixels are more than the {limit} allowed"
        )
    return image


def image_to_array(
    image: Image.Image,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    box: Box | None = None,
    border: float = 0.0,
) -> Pixels:
    """Turn an image of any mode into uint8 pixels.

    Parameters
    ----------
    image : PIL.Image.Image
        The image, decoded or not.
    size : tuple of int, optional
        Height and width of the result, in pixels.
    channels : {1, 3}, optional
        Grey or RGB; by default what the image is.
    box : tuple of float, optional
        Left, upper, right, lower edge of the part to keep, as shares of width and height.
    border : float
        Share of width and height to cut from each side if there is no `box`.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)

    Raises
    ------
    OSError, ValueError
        If the pixels cannot be decoded or have no fixed range.
    """
    if size is not None and box is None and not border:
        image.draft(None, (2 * max(size), 2 * max(size)))  # large JPEGs need not be decoded in full
    image = _to_grey_or_rgb(ImageOps.exif_transpose(image))
    if channels is not None:
        image = image.convert("L" if channels == 1 else "RGB")
    if box is None:
        box = (border, border, 1 - border, 1 - border)
    image = _cut_and_resize(image, box, size)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def mask_to_array(image: Image.Image, size: tuple[int, int]) -> Pixels:
    """Turn a mask into 0 and 255 of the given height and width, without blending its edges."""
    mask = (
        _to_grey_or_rgb(ImageOps.exif_transpose(image)).convert("L").point(lambda v: 255 * (v > 0))
    )
    return np.asarray(mask.resize((size[1], size[0]), Image.Resampling.NEAREST))


def _to_grey_or_rgb(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode in ("L", "RGB") and "transparency" not in image.info:
        image.load()
        return image
    if mode == "1":
        return image.convert("L")
    if mode.startswith("I"):
        return _from_16_bit(image)
    if mode == "F":
        raise ValueError("floating-point pixels have no fixed range: save it with 8 or 16 bits")
    grey = mode in ("L", "LA", "La") or (mode in ("P", "PA") and _has_grey_palette(image))
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(opaque, image.convert("RGBA"))
    image = image.convert("RGB")
    return image.getchannel(0) if grey else image


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Scale 0…65535 to 0…255."""
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"pixels in {low}…{high} do not fit 16 bits")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _has_grey_palette(image: Image.Image) -> bool:
    image.load()
    palette = image.getpalette("RGB") or []
    return palette[0::3] == palette[1::3] == palette[2::3]


def _cut_and_resize(image: Image.Image, box: Box, size: tuple[int, int] | None) -> Image.Image:
    """Keep what lies in the box, whose edges may lie within pixels if there is a resampling."""
    left, upper, right, lower = box
    if not (0 <= left < right <= 1 and 0 <= upper < lower <= 1):
        raise ValueError(f"the region {box} lies outside the image")
    width, height = image.size
    edges = [round(e, 6) for e in (left * width, upper * height, right * width, lower * height)]
    if size is None:
        outer = [round(edge) for edge in edges]
    else:
        outer = [floor(edges[0]), floor(edges[1]), ceil(edges[2]), ceil(edges[3])]
    if outer != [0, 0, width, height]:
        image = image.crop((outer[0], outer[1], outer[2], outer[3]))
    if size is None:
        return image
    x, y = outer[:2]
    inner = (edges[0] - x, edges[1] - y, edges[2] - x, edges[3] - y)
    if image.size == (size[1], size[0]) and inner == (0, 0, *image.size):
        return image
    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=inner)


def _decode_entry(
    files: ImageFiles, entry: Entry, size: tuple[int, int] | None, channels: int | None
) -> Decoded:
    try:
        pixels = image_to_array(
            open_image(files.read(entry.name)),
            size=size,
            channels=channels,
            box=entry.box,
            border=entry.border,
        )
        if entry.mask is None:
            return Decoded(entry, pixels)
        mask = open_image(files.read(entry.mask))
        shape = pixels.shape[:2]
        if size is None and (mask.height, mask.width) != shape:
            raise ValueError(f"its mask has {mask.height}×{mask.width} pixels, not {shape}")
        return Decoded(entry, pixels, mask_to_array(mask, (shape[0], shape[1])))
    except UnidentifiedImageError:
        return Decoded(entry, reason="not an image")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return Decoded(entry, reason=f"too large: {error}")
    except MemoryError:
        return Decoded(entry, reason="does not fit in memory")
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        return Decoded(entry, reason=str(error) or type(error).__name__)


def decode_entries(
    files: ImageFiles,
    entries: Sequence[Entry],
    *,
    size: tuple[int, int] | None,
    channels: int | None,
    progress: bool | None,
) -> Iterator[Decoded]:
    """Decode entries in threads and yield them in order, a bounded number ahead.

    Parameters
    ----------
    files : ImageFiles
        Where they are.
    entries : sequence of Entry
        What to decode.
    size, channels
        As in `image_to_array`.
    progress : bool, optional
        Show a progress bar with the time left; by default if stderr is a terminal.
    """

    def decode(chunk: list[Entry]) -> list[Decoded]:
        return [_decode_entry(files, entry, size, channels) for entry in chunk]

    workers = _workers(files, entries)
    remaining = iter(entries)
    pending: deque[Future[list[Decoded]]] = deque()
    with (
        warnings.catch_warnings(),
        Progress("Decoding images", len(entries), show=progress) as bar,
        ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool,
    ):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            while True:
                while len(pending) < 2 * workers and (chunk := list(islice(remaining, CHUNK))):
                    pending.append(pool.submit(decode, chunk))
                if not pending:
                    return
                done = pending.popleft().result()
                yield from done
                bar.advance(len(done))
        finally:
            for future in pending:
                future.cancel()


def _workers(files: ImageFiles, entries: Sequence[Entry]) -> int:
    """Choose how many threads pay off: small images spend their time holding Python's lock."""
    sample = entries[:: len(entries) // 5 + 1]
    large = sum(files.size(entry.name) for entry in sample) >= SMALL_FILE * len(sample)
    return min(MAX_WORKERS, _processors()) if large else 1


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
