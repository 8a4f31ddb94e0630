"""Random views of images for contrastive fine-tuning: crops, mirror images, other light."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SMALLEST = 0.25  # least share of the area of an image in a crop
LIGHT = 0.4  # largest relative change of brightness, contrast and saturation
GREY = 0.2  # share of colour images that lose their colour
AT_ONCE = 512


def random_views(images: NDArray[Any], seed: int) -> NDArray[Any]:
    """Return one random view of each image, at its own size.

    A square crop of at least a quarter of the area, resized to the full size; mirrored in half of
    the cases; with changed brightness, contrast and saturation, and sometimes without colour.

    Parameters
    ----------
    images : ndarray, uint8, or float32 between 0 and 1, shape (N, H, W, C)
        C is 1 or 3.
    seed : int
        The same one gives the same views.
    """
    generator = torch.Generator().manual_seed(seed)
    whole = images.dtype == np.uint8
    parts = []
    for start in range(0, len(images), AT_ONCE):
        part = torch.from_numpy(np.array(images[start : start + AT_ONCE]))
        x = part.permute(0, 3, 1, 2).float() / (255 if whole else 1)
        x = _lit(_cropped(x, generator), generator).clamp(0, 1).permute(0, 2, 3, 1)
        parts.append(((x * 255).round().to(torch.uint8) if whole else x).numpy())
    return np.ascontiguousarray(np.concatenate(parts))


def _cropped(x: Tensor, generator: torch.Generator) -> Tensor:
    """Crop and mirror each image of a batch N×C×H×W independently."""
    n = len(x)
    side = (SMALLEST + (1 - SMALLEST) * torch.rand(n, generator=generator)).sqrt()
    place = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - side)[:, None]
    turned = 1 - 2 * torch.randint(2, (n,), generator=generator)
    where = torch.zeros(n, 2, 3)
    where[:, 0, 0], where[:, 1, 1], where[:, :, 2] = side * turned, side, place
    grid = F.affine_grid(where, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _lit(x: Tensor, generator: torch.Generator) -> Tensor:
    """Change the light of each image of a batch N×C×H×W independently."""
    changes = 1 + LIGHT * (2 * torch.rand(3, len(x), 1, 1, 1, generator=generator) - 1)
    brightness, contrast, saturation = changes
    x = x * brightness
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = mean + contrast * (x - mean)
    grey = x.mean(dim=1, keepdim=True)
    colourless = torch.rand(len(x), 1, 1, 1, generator=generator) < GREY
    return grey + torch.where(colourless, 0, saturation) * (x - grey)
