"""LeNet-type encoders of the paper and their mirrored decoders, for any image size."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from insphere.nets.layers import activation, norm
from insphere.nets.spec import EncoderSpec
from insphere.nets.upsample import UpsampleConv2d


def stage_sizes(height: int, width: int, stages: int) -> list[tuple[int, int]]:
    """Size of the map before each stage and after the last; a side of 1 is not pooled further."""
    sizes = [(height, width)]
    for _ in range(stages):
        height, width = max(1, height // 2), max(1, width // 2)
        sizes.append((height, width))
    return sizes


class LeNetEncoder(nn.Module):
    """Convolution, normalisation, pooling and activation in each stage, then one dense layer.

    Pooling stands before the activation, which gives the same values as the usual order (every
    activation here is monotone) at a quarter of the cost.

    Parameters
    ----------
    spec : EncoderSpec
        Widths, representation size and the rest.
    shape : tuple of int
        (C, H, W) of the images.
    """

    def __init__(self, spec: EncoderSpec, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        sizes = stage_sizes(height, width, len(spec.widths))
        stages: list[nn.Module] = []
        for stage, filters in enumerate(spec.widths):
            pool = tuple(2 if side > 1 else 1 for side in sizes[stage])
            stages += [
                nn.Conv2d(channels, filters, spec.kernel, padding="same", bias=spec.bias),
                norm(spec, filters, 2),
                nn.MaxPool2d(pool) if max(pool) > 1 else nn.Identity(),
                activation(spec),
            ]
            channels = filters
        self.stages = nn.Sequential(*stages)
        height, width = sizes[-1]
        self.dense = nn.Linear(channels * height * width, spec.rep_dim, bias=spec.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to representations N×rep_dim."""
        features = self.stages(x).flatten(1)
        with torch.autocast(x.device.type, enabled=False):  # distances need all their digits
            out: Tensor = self.dense(features.to(self.dense.weight.dtype))
        return out


class LeNetDecoder(nn.Module):
    """The encoder's mirror: dense layer, then upsampling and convolution for each stage.

    Parameters
    ----------
    spec : EncoderSpec
        Spec of the encoder to mirror.
    shape : tuple of int
        (C, H, W) of the images.
    bounded_output : bool
        Whether the images lie in [0, 1], so that the output ends in a sigmoid.
    """

    def __init__(
        self, spec: EncoderSpec, shape: tuple[int, int, int], bounded_output: bool
    ) -> None:
        super().__init__()
        channels, height, width = shape
        sizes = stage_sizes(height, width, len(spec.widths))[::-1]
        widths = [channels, *spec.widths][::-1]
        self.first_shape = (widths[0], *sizes[0])
        features = widths[0] * sizes[0][0] * sizes[0][1]
        self.dense = nn.Linear(spec.rep_dim, features, bias=spec.bias)
        self.stages = nn.ModuleList(
            _UpStage(spec, wide, narrow, size)
            for (wide, narrow), size in zip(pairwise(widths), sizes[1:], strict=True)
        )
        self.bounded_output = bounded_output

    def forward(self, z: Tensor) -> Tensor:
        """Map representations N×rep_dim to images N×C×H×W."""
        x: Tensor = self.dense(z).unflatten(1, self.first_shape)
        for stage in self.stages:
            x = stage(x)
        return x.sigmoid() if self.bounded_output else x


class _UpStage(nn.Module):
    """Normalisation, activation, upsampling to `size`, convolution."""

    def __init__(self, spec: EncoderSpec, wide: int, narrow: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.norm = norm(spec, wide, 2)
        self.activation = activation(spec)
        self.conv = UpsampleConv2d(wide, narrow, spec.kernel, size, bias=spec.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.activation(self.norm(x)))
        return out
