"""A small network that says of each patch of features how anomalous it is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insphere.nets.draws import Dropout
from insphere.preprocess.pipeline import Preprocessor
from insphere.preprocess.whitening import ZCAWhiteningSpec

FURTHEST = 10.0
"""Standard deviations at which whitened features are cut off."""
START = 0.5
"""Weight of each distance in the log-odds before the training."""


class DiscriminatorNet(nn.Module):
    """Patch features in, log-odds that they are anomalous out.

    The features of each stage are whitened by themselves, so that the length of a whitened vector
    is the Mahalanobis distance of the patch in this stage. The network sees the whitened features
    and these distances, as logarithms with mean 0 and variance 1 over normal patches. Its log-odds
    are a weighted sum of the distances plus the output of hidden layers with batch norm and leaky
    ReLU (Liu et al. 2023, "SimpleNet", section 3.3).

    Parameters
    ----------
    sizes : sequence of int
        Number of features of each stage.
    widths : sequence of int
        Widths of the hidden layers; none makes it linear.
    dropout : float
        Share of the hidden values that are set to zero while training.
    eps : float
        ε of the whitening, as a share of the mean variance.
    """

    typical: Tensor
    spread: Tensor

    def __init__(
        self, sizes: Sequence[int], widths: Sequence[int], dropout: float, eps: float
    ) -> None:
        super().__init__()
        self.sizes = [int(size) for size in sizes]
        self.whitening = nn.ModuleList(
            Preprocessor((ZCAWhiteningSpec(eps=eps),), (size,)) for size in self.sizes
        )
        self.register_buffer("typical", torch.zeros(len(self.sizes)))
        self.register_buffer("spread", torch.ones(len(self.sizes)))
        layers: list[nn.Module] = []
        all_widths = (sum(self.sizes) + len(self.sizes), *widths)
        for inside, outside in pairwise(all_widths):
            layers += [
                nn.Linear(inside, outside, bias=False),
                nn.BatchNorm1d(outside),
                nn.LeakyReLU(0.1),
                Dropout(dropout),
            ]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(all_widths[-1], 1)
        self.direct = nn.Linear(len(self.sizes), 1)
        nn.init.constant_(self.direct.weight, START)
        nn.init.zeros_(self.direct.bias)

    @torch.no_grad()
    def fit_whitening(self, rows: NDArray[np.float32]) -> None:
        """Learn the whitening, and what distances are usual, from normal patches (M, C)."""
        start = 0
        for stage, size in zip(self.whitening, self.sizes, strict=True):
            cast(Preprocessor, stage).fit(np.ascontiguousarray(rows[:, start : start + size]))
            start += size
        parts = torch.split(torch.from_numpy(rows).to(self.typical.device), 1 << 14)
        found = torch.cat([self._lengths(self.whitened(part)) for part in parts])
        self.typical.copy_(found.mean(dim=0))
        self.spread.copy_(found.std(dim=0, correction=0).clamp_min(1e-6))

    def whitened(self, rows: Tensor) -> Tensor:
        """Return the whitened features of patches (M, C): float32, of the same shape."""
        stages = torch.split(rows.float(), self.sizes, dim=1)
        parts = [step(part) for step, part in zip(self.whitening, stages, strict=True)]
        return torch.cat(parts, dim=1).clamp(-FURTHEST, FURTHEST)

    def _lengths(self, white: Tensor) -> Tensor:
        squares = [p.float().square().mean(dim=1) for p in torch.split(white, self.sizes, dim=1)]
        return torch.stack(squares, dim=1).clamp_min(1e-6).log()

    def distances(self, white: Tensor) -> Tensor:
        """Return the standardised logarithms of the distances of whitened patches, (M, stages)."""
        found: Tensor = (self._lengths(white) - self.typical) / self.spread
        return found

    def hidden(self, white: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last hidden layer (M, K), and the distances, of whitened patches (M, C)."""
        far = self.distances(white)
        return self.layers(torch.cat([white, far], dim=1)), far

    def logits(self, hidden: Tensor, far: Tensor) -> Tensor:
        """Return log-odds (M,), float32, from the last hidden layer and the distances."""
        out: Tensor = (self.last(hidden) + self.direct(far))[:, 0].float()
        return out

    def forward(self, rows: Tensor) -> Tensor:
        """Map patches (M, C) to log-odds (M,)."""
        return self.logits(*self.hidden(self.whitened(rows)))
