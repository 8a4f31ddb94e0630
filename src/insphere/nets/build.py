"""One function builds a network from its spec and checks that it cannot trivially collapse."""

from __future__ import annotations

from torch import nn

from insphere.errors import CollapseError, SpecError
from insphere.nets.collapse import collapse_paths
from insphere.nets.lenet import LeNetDecoder, LeNetEncoder
from insphere.nets.mlp import MLPDecoder, MLPEncoder
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
        If the kind of network does not fit the shape.
    """
    encoder: nn.Module
    if spec.kind == "mlp":
        if len(shape) != 1:
            raise SpecError("An mlp encoder takes tables; use kind lenet for images.")
        encoder = MLPEncoder(spec, shape[0])
    else:
        if len(shape) != 3:
            raise SpecError("A lenet encoder takes images; use kind mlp for tables.")
        encoder = LeNetEncoder(spec, (shape[0], shape[1], shape[2]))
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
    return LeNetDecoder(spec, (shape[0], shape[1], shape[2]), bounded_output)
