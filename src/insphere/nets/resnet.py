"""Residual networks without bias terms, for any image size: ResNet-18 and a compact one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from insphere.nets.attention import last_attention, stage_attention
from insphere.nets.decoder import Map
from insphere.nets.head import head
from insphere.nets.layers import activation, dropout, input_norm, norm, strided_convolution
from insphere.nets.residual import Residual, map_skip
from insphere.nets.spec import EncoderSpec

SMALL_SIDE = 64
BLOCKS = {"resnet18": 2, "compact": 1}
COMPACT_STEM = 5


def _is_small(shape: tuple[int, int, int]) -> bool:
    return max(shape[1:]) <= SMALL_SIDE


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def resnet_maps(spec: EncoderSpec, shape: tuple[int, int, int]) -> list[Map]:
    """Return the maps, from the image on, at each of which the size or the width changes."""
    channels, height, width = shape
    size = (height, width)
    maps: list[Map] = [(channels, size)]
    if not _is_small(shape):
        size = _halved(size)
        maps.append((spec.widths[0], size))
        size = _halved(size)
    elif spec.kind == "compact":
        size = _halved(size)
    for stage, filters in enumerate(spec.widths):
        size = size if stage == 0 else _halved(size)
        maps.append((filters, size))
    return maps


class ResNetEncoder(nn.Module):
    """Basic blocks in four stages, global average pooling, one dense layer (He et al. 2016).

    Images of up to 64 pixels a side enter through one 3×3 convolution at full size; larger ones
    through the usual 7×7 convolution and pooling, which leave a quarter of each side. Nothing has a
    bias, and batch norm has no affine terms unless the spec asks for them. Channel and spatial
    attention stand inside each block before the sum, self-attention and dropout after the last.
    The compact kind has one block a stage, and small images enter through a 5×5 convolution that
    halves their sides; if the last width is wanted as the representation, it needs no dense layer.

    Parameters
    ----------
    spec : EncoderSpec
        One width for each stage of blocks; two blocks and (64, 128, 256, 512) are ResNet-18.
    shape : tuple of int
        (C, H, W) of the images.
    """

    def __init__(self, spec: EncoderSpec, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels = shape[0]
        self.input_norm = input_norm(spec, channels, 2)
        stages: list[nn.Module] = _stem(spec, channels, small=_is_small(shape))
        channels = spec.widths[0]
        for stage, filters in enumerate(spec.widths):
            for block in range(BLOCKS[spec.kind]):
                stride = 2 if stage > 0 and block == 0 else 1
                stages += _block(spec, channels, filters, stride)
                channels = filters
        self.stages = nn.Sequential(*stages, *last_attention(spec, channels), *dropout(spec, 2))
        pooled = spec.kind == "compact" and spec.dense_widths[0] == channels
        self.dense: nn.Module = (
            nn.Identity() if pooled else nn.Linear(channels, spec.dense_widths[0], bias=spec.bias)
        )
        self.head = head(spec)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to representations N×rep_dim."""
        features = self.stages(self.input_norm(x)).mean(dim=(2, 3))
        with torch.autocast(x.device.type, enabled=False):  # distances need all their digits
            out: Tensor = self.head(self.dense(features.to(next(self.parameters()).dtype)))
        return out


def _convolution(
    spec: EncoderSpec, channels: int, filters: int, kernel: int, stride: int
) -> list[nn.Module]:
    return [
        *strided_convolution(channels, filters, kernel, stride, bias=spec.bias),
        norm(spec, filters, 2),
    ]


def _stem(spec: EncoderSpec, channels: int, *, small: bool) -> list[nn.Module]:
    if small and spec.kind == "compact":
        return [*_convolution(spec, channels, spec.widths[0], COMPACT_STEM, 2), activation(spec)]
    if small:
        return [*_convolution(spec, channels, spec.widths[0], spec.kernel, 1), activation(spec)]
    layers = _convolution(spec, channels, spec.widths[0], 7, 2)
    return [*layers, nn.MaxPool2d(3, 2, padding=1), activation(spec)]


def _block(spec: EncoderSpec, channels: int, filters: int, stride: int) -> list[nn.Module]:
    body = nn.Sequential(
        *_convolution(spec, channels, filters, spec.kernel, stride),
        activation(spec),
        *_convolution(spec, filters, filters, spec.kernel, 1),
        *stage_attention(spec, filters),
    )
    return [Residual(body, map_skip(spec, channels, filters, stride)), activation(spec)]
