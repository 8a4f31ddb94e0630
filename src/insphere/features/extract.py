"""Extraction of features with a frozen backbone: resize, normalise, forward pass, forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from insphere.errors import DataError, SpecError
from insphere.features.form import Form
from insphere.nets.backbones import Backbone
from insphere.nets.backbones.banded import Network, in_bands
from insphere.resources import PREPARING, rows_within
from insphere.training.device import Precision, has_fast_bfloat16
from insphere.training.memory import keep_freed_memory

Features = NDArray[np.floating[Any]]  # float16 or float32; see `Extractor.kept`
Resampling = Literal["bilinear", "bicubic"]
BATCH = 32


class Extractor:
    """A frozen backbone with everything that its features depend on.

    Runs in inference mode, channels-last, in bfloat16 if the processor supports it.

    Parameters
    ----------
    backbone : Backbone
        In evaluation mode; moved to the device and its number format.
    resolution : int or None
        Height and width, in pixels, to which images are resized; None is that of the backbone.
    resampling : {"bilinear", "bicubic"}
        Interpolation; with antialiasing if images get smaller.
    mirrored : bool
        Average the maps of each image and of its mirror image (mirrored back). This takes twice
        the time.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the network.
    device : torch.device
        Device of the network.

    Attributes
    ----------
    network : Backbone
        The backbone in the form in which it computes features; see `for_scoring`.
    rounded : bool
        Whether features are rounded to float16 even if the network computes in float32, as those
        of models that were saved by earlier versions.

    Raises
    ------
    SpecError
        If the resolution does not fit the backbone.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        resolution: int | None = None,
        resampling: Resampling = "bicubic",
        mirrored: bool = False,
        precision: Precision = "auto",
        device: torch.device,
    ) -> None:
        card = backbone.card
        self.resolution = card.input_size if resolution is None else resolution
        whole = isinstance(self.resolution, int | np.integer) and not isinstance(resolution, bool)
        if not whole or self.resolution < card.multiple or self.resolution % card.multiple:
            raise SpecError(
                f"resolution is a multiple of {card.multiple} pixels for {card.name}, such as "
                f"{card.input_size}, but got {resolution!r}."
            )
        if resampling not in ("bilinear", "bicubic"):
            raise SpecError(f"resampling is bilinear or bicubic, but got {resampling!r}.")
        self.resampling = resampling
        self.mirrored = bool(mirrored)
        self.device = device
        half = precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(device))
        self.dtype = torch.bfloat16 if half else torch.float32
        self.rounded = False
        self.card = card
        self.fingerprint = backbone.fingerprint
        self.backbone = backbone.to(device, self.dtype).to(memory_format=torch.channels_last)
        self.network = self.for_scoring(self.backbone)
        mean, std = (torch.tensor(v, device=device) for v in (card.mean, card.std))
        side = int(self.resolution)  # one value for each number in a row of an image
        self._scale, self._shift = (1 / (255 * std)).repeat(side), (-mean / std).repeat(side)

    def for_scoring(self, network: Network) -> Network:
        """Return the backbone, or what was fine-tuned of it, in the form in which it scores.

        On a CPU and in float32, features of EfficientNet-Lite are the same in every batch, and in
        an exported model, but for a few parts in ten million.
        """
        exact = self.dtype == torch.float32 and self.device.type == "cpu"
        return in_bands(network) if exact else network

    @property
    def size(self) -> tuple[int, int]:
        """Height and width to which images are resized."""
        return int(self.resolution), int(self.resolution)

    @property
    def kept(self) -> torch.dtype:
        """Number format of the features: float32 if the network computes in it, else float16.

        Float16 holds all digits of bfloat16. Rounded to it, features of a network in float32 differ
        by the last bit from batch to batch, a hundred times what float32 differs.
        """
        return torch.float16 if self.rounded or self.dtype != torch.float32 else torch.float32

    def settings(self) -> dict[str, Any]:
        """Return all settings that features depend on besides image and form, as JSON values."""
        # Named only where they are others than before, so that older cached features are found.
        others = {} if self.kept == torch.float16 else {"kept": str(self.kept)}
        if self.network is not self.backbone:
            others["sums"] = "banded"
        return others | {
            "backbone": self.card.name,
            "weights": self.fingerprint,
            "resolution": int(self.resolution),
            "resampling": self.resampling,
            "mirrored": self.mirrored,
            "dtype": str(self.dtype),
            "device": self.device.type,
        }

    def prepare(self, images: NDArray[Any]) -> Tensor:
        """Resize and normalise a batch: N×H×W×C to N×3×R×R, channels-last.

        Parameters
        ----------
        images : ndarray, uint8, or float32 between 0 and 1, shape (N, H, W, C)
            C is 1 (grey) or 3 (RGB).

        Raises
        ------
        DataError
            If floats are outside of this range.
        """
        x = torch.from_numpy(np.array(images)).to(self.device).permute(0, 3, 1, 2)
        if x.dtype != torch.uint8 and (float(x.min()) < 0 or float(x.max()) > 1):
            raise DataError(
                "A pretrained network takes uint8 images, or floats between 0 and 1, but "
                f"these lie in {float(x.min()):g}…{float(x.max()):g}; rescale them."
            )
        return self.prepare_tensor(x)

    def _prepared(self, images: NDArray[Any]) -> Tensor:
        """Prepare a batch; of large images, a few at once, since only the small ones stay."""
        few = rows_within(32 * images[:1].size, BATCH, parts=PREPARING)
        if len(images) <= few:
            return self.prepare(images)
        parts = [self.prepare(images[s : s + few]) for s in range(0, len(images), few)]
        return torch.cat(parts).to(memory_format=torch.channels_last)

    def resized_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return height and width to which images of this size are resized."""
        return self.size

    def prepare_tensor(self, x: Tensor) -> Tensor:
        """Resize and normalise a batch N×C×H×W on the device, as `prepare`, without its check."""
        if x.dtype != torch.uint8:
            x = x * 255
        if x.shape[2:] != self.size:
            x = F.interpolate(
                x, self.size, mode=self.resampling, align_corners=False, antialias=True
            )
        return self.normalise_tensor(x)

    def normalise_tensor(self, x: Tensor) -> Tensor:
        """Normalise a resized batch N×C×R×R, bytes or floats from 0 to 255, as RGB."""
        size = self.size
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        # Row by row, because broadcasting over three channels at a time is slow on CPUs.
        rows = x.permute(0, 2, 3, 1).reshape(-1, 3 * size[1]).to(torch.float32)
        rows = torch.addcmul(self._shift, rows, self._scale).to(self.dtype)
        return rows.view(x.shape[0], *size, 3).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def __call__(self, images: NDArray[Any], forms: Sequence[Form]) -> list[Features]:
        """Return the features of images in several forms, from one pass, batch by batch."""
        keep_freed_memory()
        stages = [name for form in forms for name in form.stages]
        parts: list[list[Tensor]] = [[] for _ in forms]
        for start in range(0, len(images), BATCH):
            maps = self.maps(self._prepared(images[start : start + BATCH]), stages)
            for form, part in zip(forms, parts, strict=True):
                part.append(form.compute(maps, self.kept).cpu())
        return [torch.cat(part).numpy() for part in parts]

    def whole_maps(self, x: Tensor, stages: Sequence[str]) -> dict[str, Tensor]:
        """Return the maps of some stages for prepared images as they are seen at scoring."""
        return self.maps(x, stages)

    def maps(self, x: Tensor, stages: Sequence[str]) -> dict[str, Tensor]:
        """Return the maps of some stages for a prepared batch."""
        maps: dict[str, Tensor] = self.network(x, stages)
        if not self.mirrored:
            return maps
        return both_sides(maps, self.network(x.flip(3), stages))


def both_sides(maps: Mapping[str, Tensor], mirrored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean of maps N×C×H×W of images and of their mirror images, mirrored back."""
    return {name: (m + mirrored[name].flip(3)) / 2 for name, m in maps.items()}
