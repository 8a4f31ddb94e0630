"""Residual skips: a connection around some layers."""

from __future__ import annotations

from torch import Tensor, nn

from insphere.nets.layers import norm, strided_convolution
from insphere.nets.spec import EncoderSpec


class Residual(nn.Module):
    """body(x) + skip(x) (He et al. 2016, equations 1 and 2).

    Parameters
    ----------
    body : torch.nn.Module
        The layers to skip.
    skip : torch.nn.Module
        Identity, or a projection to the size that the body gives.
    """

    def __init__(self, body: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """Return body(x) + skip(x)."""
        out: Tensor = self.body(x) + self.skip(x)
        return out


def map_skip(spec: EncoderSpec, n_in: int, n_out: int, stride: int = 1) -> nn.Module:
    """Return the identity, or a 1×1 projection where width or size of a map changes."""
    if n_in == n_out and stride == 1:
        return nn.Identity()
    projection = strided_convolution(n_in, n_out, 1, stride, bias=spec.bias)
    return nn.Sequential(*projection, norm(spec, n_out, 2))


def row_skip(spec: EncoderSpec, n_in: int, n_out: int) -> nn.Module:
    """Return the identity, or a dense projection where the width of a row changes."""
    if n_in == n_out:
        return nn.Identity()
    return nn.Sequential(nn.Linear(n_in, n_out, bias=spec.bias), norm(spec, n_out, 1))
