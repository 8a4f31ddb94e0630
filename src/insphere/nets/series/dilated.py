"""An encoder for windows of a series that starts as the identity."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

KERNEL = 3
LEAKINESS = 0.1


class DilatedEncoder(nn.Module):
    """φ(x) = x + g(x): g are causal convolutions without biases, each twice as dilated.

    The last convolution is zero at the start, so that distances between representations are then
    those between windows.

    Parameters
    ----------
    channels : int
        Channels of the series.
    length : int
        Length of a window; layers are added until they see all of it.
    width : int
        Channels between the layers.
    """

    def __init__(self, channels: int, length: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Conv1d] = []
        seen, dilation, size = 1, 1, channels
        while seen < length or not layers:
            layers.append(nn.Conv1d(size, width, KERNEL, dilation=dilation, bias=False))
            seen, dilation, size = seen + (KERNEL - 1) * dilation, 2 * dilation, width
        self.layers = nn.ModuleList(layers)
        self.last = nn.Conv1d(width, channels, 1, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×T to N×C×T."""
        h = x
        for layer in self.layers:
            past = (KERNEL - 1) * int(cast(nn.Conv1d, layer).dilation[0])
            h = F.leaky_relu(layer(F.pad(h, (past, 0))), LEAKINESS)
        step: Tensor = self.last(h)
        return x + step
