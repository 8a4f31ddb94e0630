"""Random views of whole batches of images, as contrast and its relatives compare them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from insphere.nets.draws import current_draws
from insphere.nets.views import blurred, mirrored, zoomed
from insphere.training.pretraining.rotation import MIRROR_IS_TOLD, mirror_images_differ

LARGEST_RATIO = 4 / 3
BLUR_OF_SIDE = 0.03
GREY = {"crop": 0.6, "degrees": 15.0, "contrast": 0.3, "brightness": 0.1, "blur": 0.2}
COLOR = {"crop": 0.3, "contrast": 0.4, "brightness": 0.4, "color": 0.3, "gray": 0.2}
"""What is usual for photographs: crops and colours say little of what is shown."""


class RandomViews(BaseModel):
    """Which changes leave an image what it is; each image of a batch gets its own draw.

    Settings that are None are chosen by the images: grey ones are cut and turned a little, because
    most are drawn on an empty ground, where a small part says nothing; photographs are cut more and
    change their colours. All changes work on preprocessed images of any scale.

    Parameters
    ----------
    crop : float or None
        Smallest part of the area that is cut out and enlarged; 1 for none.
    degrees : float or None
        Largest angle by which an image is turned.
    mirror : {"auto", "ignored", "told"}
        Whether a mirror image is as normal as the image, so that half of the views are mirrored.
        "auto" finds out on the normal images, as in `RotationPretraining`.
    contrast : float or None
        Largest change of the contrast, of its logarithm.
    brightness : float or None
        Largest change of the brightness, in standard deviations of the pixels of the image.
    color : float or None
        Largest change of the contrast and brightness of a single channel.
    gray : float or None
        Share of the views whose channels become their mean.
    blur : float or None
        Share of the views that are blurred.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop: float | None = Field(default=None, gt=0, le=1)
    degrees: float | None = Field(default=None, ge=0, le=180)
    mirror: Literal["auto", "ignored", "told"] = "auto"
    contrast: float | None = Field(default=None, ge=0)
    brightness: float | None = Field(default=None, ge=0)
    color: float | None = Field(default=None, ge=0)
    gray: float | None = Field(default=None, ge=0, le=1)
    blur: float | None = Field(default=None, ge=0, le=1)

    def for_samples(self, X: NDArray[Any]) -> Self:
        """Return settings in which nothing is left to the samples, raw images N×H×W×C."""
        usual = GREY if X.shape[3] == 1 else COLOR
        names = ("crop", "degrees", "contrast", "brightness", "color", "gray", "blur")
        chosen: dict[str, Any] = {
            name: usual.get(name, 1.0 if name == "crop" else 0.0)
            for name in names
            if getattr(self, name) is None
        }
        if self.mirror == "auto":
            told = mirror_images_differ(X) >= MIRROR_IS_TOLD
            chosen["mirror"] = "told" if told else "ignored"
        return self.model_copy(update=chosen)

    @torch.no_grad()
    def draw(self, x: Tensor) -> Tensor:
        """Return a random view of each preprocessed image, N×C×H×W, channels-last."""
        draws = current_draws(x.device)

        def between(low: float, high: float, *shape: int) -> Tensor:
            drawn = torch.rand(len(x), *shape, generator=draws, device=x.device)
            return low + (high - low) * drawn

        mirrors = between(0, 1) < 0.5 if self.mirror == "ignored" else None
        if (self.crop or 1) < 1 or self.degrees:
            turn = math.radians(self.degrees or 0)
            sides = self._sides(between)
            middles = (1 - sides) * between(-1, 1, 2)
            x = zoomed(x, sides, middles, between(-turn, turn), mirrors)
        elif mirrors is not None:
            x = mirrored(x, mirrors)
        if self.gray and x.shape[1] > 1:
            without = between(0, 1, 1, 1, 1) < self.gray
            x = torch.where(without, x.mean(dim=1, keepdim=True).expand_as(x), x)
        if self.contrast or self.brightness:
            x = self._toned(x, between, (1, 2, 3), (self.contrast or 0, self.brightness or 0), 1)
        if self.color and x.shape[1] > 1:
            x = self._toned(x, between, (2, 3), (self.color, self.color), x.shape[1])
        if self.blur:
            soft = between(0, 1, 1, 1, 1) < self.blur
            x = torch.where(soft, blurred(x, BLUR_OF_SIDE * min(x.shape[2:])), x)
        return x.contiguous(memory_format=torch.channels_last)

    def _sides(self, between: Callable[..., Tensor]) -> Tensor:
        area = between(self.crop or 1, 1, 1)
        ratio = between(-math.log(LARGEST_RATIO), math.log(LARGEST_RATIO), 1).exp()
        return torch.cat([area * ratio, area / ratio], dim=1).sqrt().clamp_max(1)

    @staticmethod
    def _toned(
        x: Tensor,
        between: Callable[..., Tensor],
        over: Sequence[int],
        most: tuple[float, float],
        channels: int,
    ) -> Tensor:
        """Change contrast and brightness around the mean over some axes."""
        gain = between(-most[0], most[0], channels, 1, 1).exp()
        more = between(-most[1], most[1], channels, 1, 1)
        mean = x.mean(dim=tuple(over), keepdim=True)
        spread = x.std(dim=tuple(over), keepdim=True)
        return mean + (x - mean) * gain + more * spread
