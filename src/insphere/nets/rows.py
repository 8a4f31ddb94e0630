"""An encoder for rows of a table that starts as the identity."""

from __future__ import annotations

from torch import Tensor, nn

LEAKINESS = 0.1


class RowEncoder(nn.Module):
    """φ(x) = x + W₂ σ(W₁ x), without biases; W₂ is zero at the start.

    At the start distances between representations are those between rows, so that training changes
    a geometry that works already. Without biases a constant cannot be added (Ruff et al. 2018,
    proposition 2).

    Parameters
    ----------
    features : int
        Length of a row, and of its representation.
    width : int
        Hidden units.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.wide = nn.Linear(features, width, bias=False)
        self.activation = nn.LeakyReLU(LEAKINESS)
        self.narrow = nn.Linear(width, features, bias=False)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×F to N×F."""
        step: Tensor = self.narrow(self.activation(self.wide(x)))
        return x + step
