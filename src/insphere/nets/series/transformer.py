"""A small transformer for windows of a series that starts as the identity."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 2
LEAKINESS = 0.1
BASE = 10_000.0  # of the wave lengths of positions


class TransformerEncoder(nn.Module):
    """φ(x) = x + W g(x): g is one block of causal self-attention and a hidden layer, no biases.

    Positions turn queries and keys and leave the values alone (rotary embeddings, Su et al. 2021,
    equation 34). An embedding that is added, as in most transformers, would act as a bias: a
    constant could be learned from it, and the sphere could collapse. Here a window of zeros is
    mapped to zero. There is no normalisation of layers, which would hide how large values are.

    Parameters
    ----------
    channels : int
        Channels of the series.
    length : int
        Length of a window. The network does not depend on it.
    width : int
        Numbers for each point; a multiple of 4.
    """

    def __init__(self, channels: int, length: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels, width, bias=False)
        self.seen = nn.Linear(width, 3 * width, bias=False)
        self.mixed = nn.Linear(width, width, bias=False)
        self.wide = nn.Linear(width, 2 * width, bias=False)
        self.narrow = nn.Linear(2 * width, width, bias=False)
        self.last = nn.Linear(width, channels, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×T to N×C×T."""
        h = self.first(x.transpose(1, 2))
        n, points, width = h.shape
        parts = self.seen(h).view(n, points, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        looked = F.scaled_dot_product_attention(turned(query), turned(key), value, is_causal=True)
        h = h + self.mixed(looked.transpose(1, 2).reshape(n, points, width))
        h = h + self.narrow(F.leaky_relu(self.wide(h), LEAKINESS))
        step: Tensor = self.last(h).transpose(1, 2)
        return x + step


def turned(vectors: Tensor) -> Tensor:
    """Turn pairs of numbers by an angle that grows with the position.

    Products of turned queries and keys depend on how far apart two points are, and not on where
    they lie.

    Parameters
    ----------
    vectors : Tensor
        (…, T, D) with an even D.
    """
    points, size = vectors.shape[-2:]
    half = torch.arange(size // 2, dtype=vectors.dtype, device=vectors.device)
    place = torch.arange(points, dtype=vectors.dtype, device=vectors.device)
    angle = place[:, None] * BASE ** (-2 * half / size)
    a, b = vectors[..., 0::2], vectors[..., 1::2]
    pairs = (a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos())
    return torch.stack(pairs, dim=-1).flatten(-2)
