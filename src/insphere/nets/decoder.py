"""The decoder of every image encoder: its maps in reverse, each upsampled and convolved."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from insphere.nets.head import mirrored_head
from insphere.nets.layers import activation, norm
from insphere.nets.spec import EncoderSpec
from insphere.nets.upsample import UpsampleConv2d

Map = tuple[int, tuple[int, int]]
"""Channels of a feature map, and its height and width."""


class MapDecoder(nn.Module):
    """Dense layer to the encoder's last map, then upsampling and convolution map by map.

    Parameters
    ----------
    spec : EncoderSpec
        Spec of the encoder.
    maps : sequence of Map
        The encoder's maps from the image to the last one.
    bounded_output : bool
        Whether the images lie in [0, 1], so that the output ends in a sigmoid.
    """

    def __init__(self, spec: EncoderSpec, maps: Sequence[Map], bounded_output: bool) -> None:
        super().__init__()
        upwards = maps[::-1]
        channels, (height, width) = upwards[0]
        self.first_shape = (channels, height, width)
        self.head = mirrored_head(spec)
        self.dense = nn.Linear(spec.dense_widths[0], channels * height * width, bias=spec.bias)
        self.stages = nn.ModuleList(
            _UpStage(spec, n_in, n_out, size) for (n_in, _), (n_out, size) in pairwise(upwards)
        )
        self.bounded_output = bounded_output

    def forward(self, z: Tensor) -> Tensor:
        """Map representations N×rep_dim to images N×C×H×W."""
        x: Tensor = self.dense(self.head(z)).unflatten(1, self.first_shape)
        for stage in self.stages:
            x = stage(x)
        return x.sigmoid() if self.bounded_output else x


class _UpStage(nn.Module):
    """Normalisation, activation, upsampling to `size`, convolution."""

    def __init__(self, spec: EncoderSpec, n_in: int, n_out: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.norm = norm(spec, n_in, 2)
        self.activation = activation(spec)
        self.conv = UpsampleConv2d(n_in, n_out, spec.kernel, size, bias=spec.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.activation(self.norm(x)))
        return out
