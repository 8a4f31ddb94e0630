"""What is usual for normal images that look alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RIDGE = 20.0
"""So many images more that say that appearance does not matter."""
FEWEST = 100
"""Images from which on the regression is made; of fewer it is left out."""
SMALLEST_SPREAD = 1e-6
BEYOND = 0.1
"""Share of the normal images on each side whose appearance is taken for one that is more common."""


class UsualValues(nn.Module):
    """Foretells values of normal images from their appearance: a linear regression.

    Normal images that are dark, or have much detail, lie further from others than those that are
    neither, and so would be called anomalous more often; and anomalous images that are simple lie
    near everything (Serrà et al. 2020). What is left after the regression is comparable. Scores
    that are divided by what is usual for a sample are known from conformal prediction (Lei et al.
    2018); here they are logarithms, so that a difference takes the place of the ratio.

    Each number below the 10 % quantile of the normal images, or above their 90 % quantile, is taken
    for that quantile, so that nothing is excused by looking unlike most of them. Of fewer than 100
    images nothing is learned: what is usual is then the same for all.

    Parameters
    ----------
    values : int
        How many values are foretold.
    numbers : int
        How many numbers describe the appearance.

    References
    ----------
    Serrà et al., "Input complexity and out-of-distribution detection with likelihood-based
    generative models", ICLR 2020. Lei et al., "Distribution-free predictive inference for
    regression", JASA 2018.
    """

    middle: Tensor
    spread: Tensor
    lowest: Tensor
    highest: Tensor
    slopes: Tensor

    def __init__(self, values: int, numbers: int) -> None:
        super().__init__()
        self.register_buffer("middle", torch.zeros(numbers))
        self.register_buffer("spread", torch.ones(numbers))
        self.register_buffer("lowest", torch.zeros(numbers))
        self.register_buffer("highest", torch.zeros(numbers))
        self.register_buffer("slopes", torch.zeros(numbers, values))

    def fit(self, appearance: Tensor, values: Tensor) -> None:
        """Fit the regression.

        Parameters
        ----------
        appearance : Tensor, shape (N, A)
            Of normal images.
        values : Tensor, shape (N, P)
            Their values, of mean zero.
        """
        if len(appearance) < FEWEST:
            return
        exact = appearance.cpu().double()
        spread, middle = torch.std_mean(exact, dim=0, correction=0)
        spread = spread.clamp_min(SMALLEST_SPREAD)
        q = (exact - middle) / spread
        penalty = RIDGE * torch.eye(q.shape[1], dtype=q.dtype)
        slopes = torch.linalg.solve(q.T @ q + penalty, q.T @ values.cpu().double())
        for name, found in (
            ("middle", middle),
            ("spread", spread),
            ("lowest", q.quantile(BEYOND, dim=0)),
            ("highest", q.quantile(1 - BEYOND, dim=0)),
            ("slopes", slopes),
        ):
            setattr(self, name, found.to(appearance.device, appearance.dtype).contiguous())

    def forward(self, appearance: Tensor) -> Tensor:
        """Return what is usual, (N, A) to (N, P)."""
        q = ((appearance - self.middle) / self.spread).clamp(self.lowest, self.highest)
        usual: Tensor = q @ self.slopes
        return usual
