"""A recurrent encoder for windows of a series that starts as the identity."""

from __future__ import annotations

from torch import Tensor, nn


class RecurrentEncoder(nn.Module):
    """φ(x) = x + W h: h are the states of gated recurrent units (Cho et al. 2014) without biases.

    W is zero at the start, so that distances between representations are then those between
    windows. A window of zeros keeps the state at zero: gates multiply the state and the new
    candidate, and add nothing.

    Parameters
    ----------
    channels : int
        Channels of the series.
    length : int
        Length of a window. The network does not depend on it.
    width : int
        Numbers in a state.
    """

    def __init__(self, channels: int, length: int, width: int) -> None:
        super().__init__()
        self.units = nn.GRU(channels, width, bias=False, batch_first=True)
        self.last = nn.Linear(width, channels, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×T to N×C×T."""
        states, _ = self.units(x.transpose(1, 2))
        step: Tensor = self.last(states).transpose(1, 2)
        return x + step
