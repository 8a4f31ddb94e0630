"""LeNet-type encoders of the paper, for any image size."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from insphere.nets.attention import last_attention, stage_attention
from insphere.nets.decoder import Map
from insphere.nets.fused_pool import Stages
from insphere.nets.head import head
from insphere.nets.layers import activation, dropout, input_norm, norm
from insphere.nets.residual import Residual, map_skip
from insphere.nets.spec import EncoderSpec


def lenet_maps(spec: EncoderSpec, shape: tuple[int, int, int]) -> list[Map]:
    """Return the maps from the image to the last stage; a side of 1 is not pooled further."""
    channels, height, width = shape
    maps = [(channels, (height, width))]
    for filters in spec.widths:
        height, width = max(1, height // 2), max(1, width // 2)
        maps.append((filters, (height, width)))
    return maps


class LeNetEncoder(nn.Module):
    """Convolution, normalisation, pooling and activation in each stage, then one dense layer.

    Pooling stands before the activation, which gives the same values as the usual order (every
    activation here is monotone) at a quarter of the cost. A residual skip goes around convolution
    and normalisation, attention follows the activation, dropout the last stage.

    Parameters
    ----------
    spec : EncoderSpec
        Widths, representation size and the rest.
    shape : tuple of int
        (C, H, W) of the images.
    """

    def __init__(self, spec: EncoderSpec, shape: tuple[int, int, int]) -> None:
        super().__init__()
        maps = lenet_maps(spec, shape)
        self.input_norm = input_norm(spec, shape[0], 2)
        stages: list[nn.Module] = []
        for (channels, size), (filters, _) in pairwise(maps):
            pool = tuple(2 if side > 1 else 1 for side in size)
            stages += [
                *_convolution(spec, channels, filters),
                nn.MaxPool2d(pool) if max(pool) > 1 else nn.Identity(),
                activation(spec),
                *stage_attention(spec, filters),
            ]
        filters, (height, width) = maps[-1]
        self.stages = Stages(*stages, *last_attention(spec, filters), *dropout(spec, 2))
        self.dense = nn.Linear(filters * height * width, spec.dense_widths[0], bias=spec.bias)
        self.head = head(spec)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to representations N×rep_dim."""
        features = self.stages(self.input_norm(x)).flatten(1)
        with torch.autocast(x.device.type, enabled=False):  # distances need all their digits
            out: Tensor = self.head(self.dense(features.to(self.dense.weight.dtype)))
        return out


def _convolution(spec: EncoderSpec, channels: int, filters: int) -> list[nn.Module]:
    layers = [
        nn.Conv2d(channels, filters, spec.kernel, padding="same", bias=spec.bias),
        norm(spec, filters, 2),
    ]
    if not spec.residual:
        return layers
    return [Residual(nn.Sequential(*layers), map_skip(spec, channels, filters))]
