"""Dense encoders and decoders for plain feature tables."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from insphere.nets.layers import activation, norm
from insphere.nets.spec import EncoderSpec


def _dense_stack(spec: EncoderSpec, sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes[:-1]):
        layers += [
            nn.Linear(size_in, size_out, bias=spec.bias),
            norm(spec, size_out, 1),
            activation(spec),
        ]
    layers.append(nn.Linear(sizes[-2], sizes[-1], bias=spec.bias))
    return nn.Sequential(*layers)


class MLPEncoder(nn.Module):
    """Dense layers from N×F to representations N×rep_dim."""

    def __init__(self, spec: EncoderSpec, features: int) -> None:
        super().__init__()
        self.layers = _dense_stack(spec, [features, *spec.widths, spec.rep_dim])

    def forward(self, x: Tensor) -> Tensor:
        """Map N×F to N×rep_dim."""
        out: Tensor = self.layers(x)
        return out


class MLPDecoder(nn.Module):
    """The encoder's mirror, from N×rep_dim back to N×F."""

    def __init__(self, spec: EncoderSpec, features: int, bounded_output: bool) -> None:
        super().__init__()
        self.layers = _dense_stack(spec, [spec.rep_dim, *spec.widths[::-1], features])
        self.bounded_output = bounded_output

    def forward(self, z: Tensor) -> Tensor:
        """Map N×rep_dim to N×F."""
        x: Tensor = self.layers(z)
        return x.sigmoid() if self.bounded_output else x
