"""Builds networks from specs, and checks that they cannot collapse trivially."""

from __future__ import annotations

from torch import nn

from insphere.errors import CollapseError, SpecError
from insphere.nets.collapse_check import collapse_paths
from insphere.nets.decoder import MapDecoder
from insphere.nets.lenet import LeNetEncoder, lenet_maps
from insphere.nets.mlp import MLPDecoder, MLPEncoder
from insphere.nets.resnet import ResNetEncoder, resnet_maps
from insphere.nets.spec import NAMED, EncoderSpec


def default_encoder(shape: tuple[int, ...]) -> EncoderSpec:
    """Choose a spec for samples of `shape`.

    Small grey images get the paper's MNIST network, other small images its CIFAR-10 network, and
    larger ones the same with as many more stages of 128 filters as bring the map down to 4 to 7
    pixels. Tables get two hidden layers.

    Parameters
    ----------
    shape : tuple of int
        (C, H, W) or (F,).
    """
    if len(shape) == 1:
        return EncoderSpec(kind="mlp", widths=(64, 32), rep_dim=16, norm="none")
    channels, height, width = shape
    side = max(height, width)
    if channels == 1 and side <= 32:
        return NAMED["mnist"]
    widths = list(NAMED["cifar10"].widths)
    while side >> len(widths) > 7:
        widths.append(128)
    return NAMED["cifar10"].model_copy(update={"widths": tuple(widths)})


def build_encoder(
    spec: EncoderSpec, shape: tuple[int, ...], *, allow_collapse: bool = False
) -> nn.Module:
    """Build the encoder φ(x; W) for samples of `shape`.

    Parameters
    ----------
    spec : EncoderSpec
        What to build.
    shape : tuple of int
        (C, H, W) of images or (F,) of tables.
    allow_collapse : bool
        Build it even if it can map everything onto the centre.

    Raises
    ------
    CollapseError
        If a constant can be learned and `allow_collapse` is false.
    SpecError
        If the kind of network does not fit the shape or an option.
    """
    encoder: nn.Module
    if spec.kind == "mlp":
        if len(shape) != 1:
            raise SpecError("An mlp encoder takes tables; use kind lenet for images.")
        if spec.attention != "none":
            raise SpecError("Attention weighs feature maps; leave it out of an mlp encoder.")
        encoder = MLPEncoder(spec, shape[0])
    elif spec.kind == "lenet":
        encoder = LeNetEncoder(spec, _image_shape(spec, shape))
    else:
        encoder = ResNetEncoder(spec, _image_shape(spec, shape))
    findings = collapse_paths(encoder)
    if findings and not allow_collapse:
        raise CollapseError(
            "This network can map every image onto the centre: "
            + "; ".join(findings)
            + ". Change the spec, or pass allow_collapse=True to see it happen."
        )
    return encoder


def build_decoder(spec: EncoderSpec, shape: tuple[int, ...], *, bounded_output: bool) -> nn.Module:
    """Build the mirror of the encoder, from representations to samples of `shape`.

    It mirrors the sizes and widths of the encoder's maps and its projection. Skips, attention,
    dropout and layer norm stay with the encoder; a residual network is mirrored by one convolution
    for each change of size or width.

    Parameters
    ----------
    spec : EncoderSpec
        Spec of the encoder.
    shape : tuple of int
        (C, H, W) or (F,).
    bounded_output : bool
        Whether the samples lie in [0, 1].
    """
    if spec.kind == "mlp":
        return MLPDecoder(spec, shape[0], bounded_output)
    maps = lenet_maps if spec.kind == "lenet" else resnet_maps
    return MapDecoder(spec, maps(spec, _image_shape(spec, shape)), bounded_output)


def _image_shape(spec: EncoderSpec, shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise SpecError(f"A {spec.kind} encoder takes images; use kind mlp for tables.")
    return shape[0], shape[1], shape[2]
