"""Nearest-neighbour upsampling and convolution in one step, at the cost of the small map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UpsampleConv2d(nn.Conv2d):
    """Upsample to `size` (nearest neighbour), then convolve with "same" padding.

    Where the size doubles exactly, neighbouring taps of the kernel meet copies of the same pixel.
    Their weights are added up beforehand, and one convolution of the small map gives all four
    pixels that come from one (a sub-pixel convolution, Shi et al. 2016). The values are those of
    the plain order up to rounding, for a fraction of the time.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size : int
        Side of the kernel on the upsampled map; odd.
    size : tuple of int
        Height and width after upsampling.
    bias : bool
        Whether a bias is learned.
    """

    taps: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        size: tuple[int, int],
        *,
        bias: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding="same", bias=bias)
        self.size = size
        self.register_buffer("taps", _shared_taps(kernel_size), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×h×w to N×C'×H×W with (H, W) = `size`."""
        if self.size != (2 * x.shape[2], 2 * x.shape[3]):
            return super().forward(F.interpolate(x, size=self.size, mode="nearest"))
        weight = torch.einsum("pak,oikl,qbl->opqiab", self.taps, self.weight, self.taps)
        weight = weight.flatten(0, 2)
        bias = None if self.bias is None else self.bias.repeat_interleave(4)
        return F.pixel_shuffle(F.conv2d(x, weight, bias, padding=weight.shape[2] // 2), 2)


def _shared_taps(kernel: int) -> Tensor:
    """Say which taps of a kernel fall on the same pixel of the small map.

    Returns
    -------
    Tensor, shape (2, small kernel, kernel)
        For even and odd pixels of the large map: 1 where a tap meets a pixel of the small map.
    """
    half = kernel // 2
    reach = (half + 1) // 2
    taps = torch.zeros(2, 2 * reach + 1, kernel)
    for phase in range(2):
        for tap in range(kernel):
            taps[phase, (phase + tap - half) // 2 + reach, tap] = 1
    return taps
