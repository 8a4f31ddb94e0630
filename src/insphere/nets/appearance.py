"""What an image looks like at first sight: a few numbers that need no network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from insphere.nets.views import blurred

NUMBERS = 5
SMALLEST = 1e-4
"""Added before logarithms."""


class Appearance(nn.Module):
    """Brightness, contrast and detail of images, (N, C, H, W) to (N, 5).

    In this order: the mean of the values; their standard deviation; the logarithms of their root
    mean square, of the mean absolute difference of neighbouring pixels (total variation), and of
    the root mean square of what a blur by one pixel takes away.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the numbers for raw images, uint8 or float."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
            down = (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=(1, 2, 3))
            across = (x[..., 1:] - x[..., :-1]).abs().mean(dim=(1, 2, 3))
            detail = (x - blurred(x, 1.0)).square().mean(dim=(1, 2, 3)).sqrt()
            mean = x.mean(dim=(1, 2, 3))
            square = x.square().mean(dim=(1, 2, 3))
            spread = (square - mean.square()).clamp_min(0).sqrt()
            logs = [(one + SMALLEST).log() for one in (square.sqrt(), down + across, detail)]
            return torch.stack([mean, spread, *logs], dim=1)
