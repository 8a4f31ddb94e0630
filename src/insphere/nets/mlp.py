"""Dense encoders and decoders for plain feature tables."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from insphere.nets.head import head, mirrored_head
from insphere.nets.layers import activation, dropout, input_norm, norm
from insphere.nets.residual import Residual, row_skip
from insphere.nets.spec import EncoderSpec


def _hidden(spec: EncoderSpec, sizes: tuple[int, ...], *, residual: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        body = [nn.Linear(n_in, n_out, bias=spec.bias), norm(spec, n_out, 1)]
        if residual:
            body = [Residual(nn.Sequential(*body), row_skip(spec, n_in, n_out))]
        layers += [*body, activation(spec)]
    return layers


class MLPEncoder(nn.Module):
    """Dense layers from N×F to representations N×rep_dim."""

    def __init__(self, spec: EncoderSpec, features: int) -> None:
        super().__init__()
        self.input_norm = input_norm(spec, features, 1)
        self.layers = nn.Sequential(
            *_hidden(spec, (features, *spec.widths), residual=spec.residual),
            *dropout(spec, 1),
            nn.Linear(spec.widths[-1], spec.dense_widths[0], bias=spec.bias),
        )
        self.head = head(spec)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×F to N×rep_dim."""
        out: Tensor = self.head(self.layers(self.input_norm(x)))
        return out


class MLPDecoder(nn.Module):
    """The encoder's mirror, from N×rep_dim back to N×F; no skips, no dropout."""

    def __init__(self, spec: EncoderSpec, features: int, bounded_output: bool) -> None:
        super().__init__()
        self.head = mirrored_head(spec)
        self.layers = nn.Sequential(
            *_hidden(spec, (spec.dense_widths[0], *spec.widths[::-1]), residual=False),
            nn.Linear(spec.widths[0], features, bias=spec.bias),
        )
        self.bounded_output = bounded_output

    def forward(self, z: Tensor) -> Tensor:
        """Map N×rep_dim to N×F."""
        x: Tensor = self.layers(self.head(z))
        return x.sigmoid() if self.bounded_output else x
