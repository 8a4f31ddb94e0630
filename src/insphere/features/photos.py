"""Patch features of photographs at their own scale: aspect kept, padding left out, in tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from insphere.data.letterbox import content_size
from insphere.errors import DataError, SpecError
from insphere.features.extract import Extractor, Features, Resampling
from insphere.features.form import Form, joined, within_range
from insphere.nets.backbones import Backbone
from insphere.training.device import Precision
from insphere.training.memory import keep_freed_memory

TILE = 768  # pixels; a photograph larger than this on both sides is looked at in parts
MARGIN = 128  # pixels around a part that are looked at too, so that its edge leaves no trace
STEP = 64  # pixels to which photographs are filled up: few shapes, and whole positions of all maps
AT_ONCE = 3 << 19  # pixels in a batch: one photo of 1024×1024, five of 640×480


class PhotoExtractor(Extractor):
    """A frozen backbone that looks at photographs at their own scale.

    What lies on a canvas (`insphere.data.letterbox`) is found from its pixels; the network sees
    this alone, enlarged or reduced by one factor and filled up with its mirror image. Photographs
    larger than a tile are looked at in tiles that overlap, so that the memory needed for maps
    of early stages does not grow with the photograph.

    Parameters
    ----------
    backbone : Backbone
        In evaluation mode; moved to the device and its number format.
    scale : float
        Factor by which height and width are multiplied.
    tile : int
        Side, in pixels after scaling, of the largest part that the network sees at once, without
        its margin; a multiple of 64.
    resampling, mirrored, precision, device
        As in `Extractor`.

    Raises
    ------
    SpecError
        If the scale or the tile is out of range.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        scale: float,
        tile: int = TILE,
        resampling: Resampling = "bicubic",
        mirrored: bool = False,
        precision: Precision = "auto",
        device: torch.device,
    ) -> None:
        super().__init__(
            backbone, resampling=resampling, mirrored=mirrored, precision=precision, device=device
        )
        real = isinstance(scale, int | float | np.number) and not isinstance(scale, bool)
        if not real or not 0.01 <= scale <= 64:
            raise SpecError(f"scale is a factor between 0.01 and 64, but got {scale!r}.")
        if isinstance(tile, bool) or not isinstance(tile, int | np.integer) or tile < STEP:
            raise SpecError(f"tile is a number of pixels from {STEP} on, but got {tile!r}.")
        self.scale, self.tile = float(scale), ceil(tile / STEP) * STEP
        self._mean, self._std = (
            torch.tensor(v, device=device)[:, None, None] * 255
            for v in (backbone.card.mean, backbone.card.std)
        )

    def settings(self) -> dict[str, Any]:
        """Return all settings that features depend on besides image and form, as JSON values."""
        settings = super().settings()
        del settings["resolution"]
        return settings | {"scale": self.scale, "tile": self.tile, "margin": MARGIN}

    def grid(self, size: tuple[int, int], stride: int) -> tuple[int, int]:
        """Return rows and columns of patches of an image of this height and width."""
        height, width = self._scaled(size)
        return ceil(height / stride), ceil(width / stride)

    def _scaled(self, size: tuple[int, int]) -> tuple[int, int]:
        return max(1, round(self.scale * size[0])), max(1, round(self.scale * size[1]))

    @torch.inference_mode()
    def __call__(self, images: NDArray[Any], forms: Sequence[Form]) -> list[Features]:
        """Return the patches of images in several forms.

        Parameters
        ----------
        images : ndarray, shape (N, H, W, C)
            uint8, or float32 between 0 and 1.
        forms : sequence of Form
            Of kind "patches".

        Returns
        -------
        list of ndarray of float16 or float32, shape (N, rows, columns, ΣC)
            Where an image has no patches, because it does not fill the canvas, all values are NaN.
        """
        keep_freed_memory()
        number = np.float32 if self.kept == torch.float32 else np.float16
        found: list[Features] = [
            np.full((len(images), *form.shape, self._width(form)), np.nan, number) for form in forms
        ]
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        contents = [content_size(image) for image in images]
        for i, content in enumerate(contents):
            groups[_filled(self._scaled(content))].append(i)
        for size, group in groups.items():
            few = max(1, AT_ONCE // (size[0] * size[1]))
            for start in range(0, len(group), few):
                part = group[start : start + few]
                x = torch.cat([self._prepared_one(images[i], contents[i], size) for i in part])
                x = x.to(memory_format=torch.channels_last)
                for form, rows in zip(forms, found, strict=True):
                    patches = joined(self._maps_in_tiles(x, form.stages), form, size)
                    values = within_range(patches, self.kept).cpu().numpy()
                    for i, own in zip(part, values, strict=True):
                        height, width = self._scaled(contents[i])
                        assert form.stride is not None
                        down = min(ceil(height / form.stride), form.shape[0])
                        across = min(ceil(width / form.stride), form.shape[1])
                        rows[i, :down, :across] = own[:down, :across]
        return found

    def _width(self, form: Form) -> int:
        return sum(self.card.stage(name).channels for name in form.stages)

    def _prepared_one(
        self, image: NDArray[Any], content: tuple[int, int], size: tuple[int, int]
    ) -> Tensor:
        """Return one photograph, scaled, normalised and filled up: shape (1, 3, H, W)."""
        own = torch.from_numpy(np.array(image[: content[0], : content[1]]))
        x = own.to(self.device).permute(2, 0, 1)[None]
        if x.dtype != torch.uint8 and (float(x.min()) < 0 or float(x.max()) > 1):
            raise DataError(
                "A pretrained network takes uint8 images, or floats between 0 and 1, but "
                f"these lie in {float(x.min()):g}…{float(x.max()):g}; rescale them."
            )
        x = self._resized(x if x.dtype == torch.uint8 else x * 255, self._scaled(content))
        return self._filled_up(x, size)

    def _resized(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if x.shape[2:] != size:
            x = F.interpolate(x, size, mode=self.resampling, align_corners=False, antialias=True)
        return x

    def _filled_up(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Normalise scaled photographs N×C×h×w, and fill them up with their mirror image."""
        normalised = ((x.float() - self._mean) / self._std).to(self.dtype)
        down, across = (
            mirrored(n, filled, x.device) for n, filled in zip(x.shape[2:], size, strict=True)
        )
        return normalised[:, :, down][:, :, :, across]

    def resized_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return height and width to which images of this size are resized."""
        return self._scaled(size)

    def prepare_tensor(self, x: Tensor) -> Tensor:
        """Scale and normalise a batch N×C×H×W of images that fill their canvas."""
        size = self._scaled((x.shape[2], x.shape[3]))
        return self.normalise_tensor(self._resized(x if x.dtype == torch.uint8 else x * 255, size))

    def normalise_tensor(self, x: Tensor) -> Tensor:
        """Normalise scaled photographs N×C×h×w that fill their canvas, and fill them up, as RGB."""
        return self._filled_up(x, _filled((x.shape[2], x.shape[3]))).expand(-1, 3, -1, -1)

    def whole_maps(self, x: Tensor, stages: Sequence[str]) -> dict[str, Tensor]:
        """Return the maps of some stages for prepared photographs, in tiles if they are large."""
        return self._maps_in_tiles(x, stages)

    def _maps_in_tiles(self, x: Tensor, stages: Sequence[str]) -> dict[str, Tensor]:
        """Return the maps of some stages for whole photographs, from overlapping tiles."""
        height, width = x.shape[2:]
        if max(height, width) <= self.tile + 2 * MARGIN:
            return self.maps(x, stages)
        bands: dict[str, list[Tensor]] = defaultdict(list)
        for top, bottom, above, below in _parts(height, self.tile):
            band: dict[str, list[Tensor]] = defaultdict(list)
            for left, right, before, after in _parts(width, self.tile):
                seen = x[:, :, above:below, before:after]
                for name, m in self.maps(seen, stages).items():
                    stride = self.card.stage(name).stride
                    y, z = (top - above) // stride, (left - before) // stride
                    rows, columns = (bottom - top) // stride, (right - left) // stride
                    band[name].append(m[:, :, y : y + rows, z : z + columns])
            for name, parts in band.items():
                bands[name].append(torch.cat(parts, dim=3))
        return {
            name: torch.cat(bands[name], dim=2) for name in self.card.stage_names if name in bands
        }

    def maps(self, x: Tensor, stages: Sequence[str]) -> dict[str, Tensor]:
        """Return the maps of some stages for a prepared batch, grey or RGB."""
        return super().maps(x.expand(-1, 3, -1, -1), stages)


def mirrored(n: int, size: int, device: torch.device | None = None) -> Tensor:
    """Return places from 0 to n − 1 that continue as their mirror image up to `size`.

    Examples
    --------
    >>> mirrored(3, 8).tolist()
    [0, 1, 2, 2, 1, 0, 0, 1]
    """
    places = torch.arange(size, device=device) % (2 * n)
    return torch.where(places < n, places, 2 * n - 1 - places)


def _filled(size: tuple[int, int]) -> tuple[int, int]:
    return ceil(size[0] / STEP) * STEP, ceil(size[1] / STEP) * STEP


def _parts(length: int, tile: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield start and end of consecutive parts, and of what is seen of each with its margin."""
    count = ceil(length / tile)
    edges = [round(i * length / count / STEP) * STEP for i in range(count)] + [length]
    for start, end in pairwise(edges):
        yield start, end, max(0, start - MARGIN), min(length, end + MARGIN)
