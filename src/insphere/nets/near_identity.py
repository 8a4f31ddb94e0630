"""A network close to the identity, which cannot map different samples to one point."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

LIPSCHITZ = 0.5  # of the learned part


class NearIdentity(nn.Module):
    """φ(x) = x + r(x), where r has no bias terms and is 0 before the training.

    r is a hidden layer between two matrices of spectral norm 1, multiplied by a learned strength
    within ±`LIPSCHITZ`. Its Lipschitz constant L is therefore at most `LIPSCHITZ`, up to the
    accuracy of the power iteration, and (1 − L) ‖a − b‖ ≤ ‖φ(a) − φ(b)‖ ≤ (1 + L) ‖a − b‖ (Behrmann
    et al. 2019, "Invertible residual networks"). On whitened features, the squared distance to
    their mean is the squared Mahalanobis distance at the start, and training can draw normal
    samples together, but not collapse.

    Parameters
    ----------
    features : int
        Numbers in a sample and in its representation.
    hidden : int
        Width of the hidden layer.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.wide = spectral_norm(nn.Linear(features, hidden, bias=False))
        self.narrow = spectral_norm(nn.Linear(hidden, features, bias=False))
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map N×F to N×F."""
        learned: Tensor = self.narrow(torch.relu(self.wide(x)))
        return x + LIPSCHITZ * torch.tanh(self.strength) * learned
