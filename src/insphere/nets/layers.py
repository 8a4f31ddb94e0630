"""The few layers that encoders and decoders share, made from a spec."""

from __future__ import annotations

from torch import nn

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


def norm(spec: EncoderSpec, width: int, dimensions: int) -> nn.Module:
    """Return the spec's normalisation for N×C×H×W (`dimensions` 2) or N×F (1)."""
    if spec.norm == "none":
        return nn.Identity()
    kind = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm1d
    return kind(width, eps=NORM_EPS, affine=spec.norm_affine)
