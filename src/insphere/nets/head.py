"""Layers after the first dense layer of an encoder (projection, layer norm), and their mirror."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from insphere.nets.layers import activation
from insphere.nets.spec import EncoderSpec


def head(spec: EncoderSpec) -> nn.Sequential:
    """Return the layers from the first dense layer to the representation; none by default.

    The projection has no batch norm: it would centre each unit on zero just before a layer whose
    mean is to become the centre.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(spec.dense_widths):
        layers += [activation(spec), nn.Linear(n_in, n_out, bias=spec.bias)]
    if spec.head_norm == "layer":
        layers.append(nn.LayerNorm(spec.rep_dim, elementwise_affine=spec.head_norm_affine))
    return nn.Sequential(*layers)


def mirrored_head(spec: EncoderSpec) -> nn.Sequential:
    """Return the layers back from the representation to the first dense layer's width."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(spec.dense_widths[::-1]):
        layers += [nn.Linear(n_in, n_out, bias=spec.bias), activation(spec)]
    return nn.Sequential(*layers)
