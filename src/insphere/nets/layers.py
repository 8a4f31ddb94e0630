"""Layers that encoders and decoders share, made from a spec."""

from __future__ import annotations

from torch import nn

from insphere.nets.batch_norm import BatchNorm1d, BatchNorm2d
from insphere.nets.draws import Dropout
from insphere.nets.spec import EncoderSpec

NORM_EPS = 1e-4


def activation(spec: EncoderSpec) -> nn.Module:
    """Return the spec's activation."""
    match spec.activation:
        case "leaky_relu":
            return nn.LeakyReLU(spec.leakiness)
        case "relu":
            return nn.ReLU()
        case "tanh":
            return nn.Tanh()
        case "sigmoid":
            return nn.Sigmoid()


def strided_convolution(
    n_in: int, n_out: int, kernel: int, stride: int, *, bias: bool
) -> list[nn.Module]:
    """Return a convolution that keeps one of every `stride` places, and ⌈side / stride⌉ of a side.

    With a 1×1 kernel the places are chosen before and not by the convolution, which is the same:
    the backward pass of strided 1×1 convolutions of fewer than 16 channels-last channels writes
    beyond its memory in oneDNN up to 3.12, and so in torch up to 2.14 on CPUs.
    """
    if kernel > 1 or stride == 1:
        return [nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=bias)]
    return [nn.MaxPool2d(1, stride), nn.Conv2d(n_in, n_out, 1, bias=bias)]


def batch_norm(spec: EncoderSpec, width: int, dimensions: int) -> nn.Module:
    """Return batch norm of N×C×H×W (`dimensions` 2) or N×F (1)."""
    kind = BatchNorm2d if dimensions == 2 else BatchNorm1d
    return kind(width, eps=NORM_EPS, affine=spec.norm_affine)


def norm(spec: EncoderSpec, width: int, dimensions: int) -> nn.Module:
    """Return the spec's normalisation after a hidden layer."""
    return nn.Identity() if spec.norm == "none" else batch_norm(spec, width, dimensions)


def input_norm(spec: EncoderSpec, width: int, dimensions: int) -> nn.Module:
    """Return the spec's normalisation of the input."""
    return nn.Identity() if spec.input_norm == "none" else batch_norm(spec, width, dimensions)


def dropout(spec: EncoderSpec, dimensions: int) -> list[nn.Module]:
    """Return the spec's dropout as a list of none or one.

    Encoders place it after their last normalisation: dropout before batch norm would change the
    variance that is seen while training but not while scoring (Li et al. 2019).
    """
    if spec.dropout == 0:
        return []
    whole_maps = dimensions == 2 and spec.dropout_kind == "channel"
    return [Dropout(spec.dropout, whole_maps=whole_maps)]
