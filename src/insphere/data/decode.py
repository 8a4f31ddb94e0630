"""Image files to pixels, in parallel, each file decoded once."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from insphere.data.files import ImageFiles
from insphere.data.letterbox import Canvas, on_canvas
from insphere.data.limits import Limits, limits
from insphere.data.listing import Entry
from insphere.data.pixels import (
    Pixels,
    image_to_array,
    mask_to_array,
    open_image,
    pages,
    shape_of,
)
from insphere.data.progress import Progress
from insphere.errors import DataError
from insphere.resources import usable_cores
from insphere.safe_text import reason

MAX_WORKERS = 8
SMALL_FILE = 6000  # bytes of an encoded image below which threads only wait for each other
CHUNK = 8  # images a thread decodes at a time


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels (H, W, C) and mask (H, W) of one entry, or why there are none.

    Parameters
    ----------
    entry : Entry
        The image.
    pixels : ndarray of uint8, uint16 or float32, shape (H, W, C), optional
        Its pixels.
    mask : ndarray of uint8, shape (H, W), optional
        Its ground truth, 0 or 255.
    reason : str
        Why it could not be decoded.
    more : int
        Pages or frames beyond the first, which were not read.
    """

    entry: Entry
    pixels: Pixels | None = None
    mask: NDArray[np.uint8] | None = None
    reason: str = ""
    more: int = 0


class PixelBudget:
    """Counts the pixels that a source makes out of its bytes, and ends what is out of proportion.

    Parameters
    ----------
    path : str
        What the source is called in messages.
    bounds : Limits
        How many pixels there may be.
    """

    def __init__(self, path: str, bounds: Limits) -> None:
        self._path = path
        self._bounds = bounds
        self._pixels = 0
        self._bytes = 0
        self._lock = Lock()

    def spend(self, image: Image.Image, n_bytes: int) -> None:
        """Count an image before it is decoded.

        Raises
        ------
        DataError
            If all images so far have more pixels than their bytes allow.
        """
        bounds = self._bounds
        with self._lock:
            self._pixels += image.width * image.height
            self._bytes += n_bytes
            allowed = max(bounds.free_pixels, bounds.max_pixels_per_byte * self._bytes)
            if self._pixels > allowed:
                raise DataError(
                    f"The images of {self._path} would have {self._pixels} pixels from "
                    f"{self._bytes} bytes so far, as a decompression bomb has: raise the "
                    "environment variable INSPHERE_MAX_PIXELS_PER_BYTE if they are to be trusted."
                )


def _decode_entry(
    files: ImageFiles,
    entry: Entry,
    canvas: Canvas | None,
    channels: int | None,
    budget: PixelBudget,
) -> Decoded:
    try:
        image = open_image(files.read(entry.name))
        budget.spend(image, files.size(entry.name))
        more = pages(image) - 1
        size = None if canvas is None else canvas.size
        if canvas is not None and canvas.fit != "stretch":
            # Of a second one, because looking for its orientation may decode it.
            seen = open_image(files.read(entry.name))
            size = canvas.content(*shape_of(seen, entry.box, entry.border))
        pixels = image_to_array(
            image, size=size, channels=channels, box=entry.box, border=entry.border
        )
        mask = _mask(files, entry, pixels, size, budget)
        if canvas is not None:
            mask = None if mask is None else _beside_nothing(mask, canvas.size)
            pixels = on_canvas(pixels, canvas.size)
        return Decoded(entry, pixels, mask, more=more)
    except DataError:
        raise
    except UnidentifiedImageError:
        return Decoded(entry, reason="not an image")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return Decoded(entry, reason=f"too large: {reason(error)}")
    except MemoryError:
        return Decoded(entry, reason="does not fit in memory")
    except OSError as error:
        return Decoded(entry, reason=error.strerror or reason(error) or type(error).__name__)
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        return Decoded(entry, reason=reason(error) or type(error).__name__)


def _mask(
    files: ImageFiles,
    entry: Entry,
    pixels: Pixels,
    size: tuple[int, int] | None,
    budget: PixelBudget,
) -> NDArray[np.uint8] | None:
    """Return the union of the masks of an image, None if it has none."""
    height, width = pixels.shape[:2]
    union: NDArray[np.uint8] | None = None
    for name in entry.masks:
        mask = open_image(files.read(name))
        budget.spend(mask, files.size(name))
        if size is None and (mask.height, mask.width) != (height, width):
            raise ValueError(
                f"its mask has {mask.height}×{mask.width} pixels, not {pixels.shape[:2]}"
            )
        values = mask_to_array(mask, (height, width))
        union = values if union is None else np.maximum(union, values)
    return union


def _beside_nothing(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a mask on the canvas; no defect lies in the padding."""
    return np.pad(mask, ((0, size[0] - mask.shape[0]), (0, size[1] - mask.shape[1])))


def survey(files: ImageFiles, entries: Sequence[Entry]) -> list[tuple[int, int]]:
    """Return height and width of all images that can be opened, from their headers."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for entry in entries:
            try:
                found.append(shape_of(open_image(files.read(entry.name)), entry.box, entry.border))
            except DataError:
                raise
            except Exception:  # it is named when it is decoded
                continue
    return found


def decode_entries(
    files: ImageFiles,
    entries: Sequence[Entry],
    *,
    canvas: Canvas | None,
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
    canvas : Canvas, optional
        Common size of all, and how each gets there; by default each keeps its own.
    channels : {1, 3}, optional
        As in `image_to_array`.
    progress : bool, optional
        Show a progress bar with the time left; by default if stderr is a terminal.

    Raises
    ------
    DataError
        If the images have far more pixels than bytes; see `insphere.data.limits`.
    """
    budget = PixelBudget(str(files.path), limits())

    def decode(chunk: list[Entry]) -> list[Decoded]:
        return [_decode_entry(files, entry, canvas, channels, budget) for entry in chunk]

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
    return min(MAX_WORKERS, usable_cores()) if large else 1
