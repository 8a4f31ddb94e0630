"""Scaling of the columns of a table as a part of a network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class OnScaledColumns(nn.Module):
    """A score of scaled rows, as a score of rows in their own units.

    Parameters
    ----------
    columns : ndarray of float64, shape (3, d)
        Centre and unit of each column, and what a change of it adds to the score; 0 if it was not
        constant. See `insphere.data.column_scale`.
    resolution : float
        Of its size, by which a constant column may differ through rounding.
    score : torch.nn.Module
        From scaled rows (N, d) to scores (N,).
    """

    center: Tensor
    scale: Tensor
    penalties: Tensor

    def __init__(self, columns: NDArray[np.float64], resolution: float, score: nn.Module) -> None:
        super().__init__()
        self.score, self.resolution = score, resolution
        device = next((t.device for t in (*score.parameters(), *score.buffers())), None)
        for name, values in zip(("center", "scale", "penalties"), columns, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Score rows (N, d)."""
        deviation = x.double() - self.center
        changed = (deviation.abs() > self.resolution * self.center.abs()).double()
        scaled = torch.where(self.penalties > 0, changed, deviation / self.scale)
        scores: Tensor = self.score(scaled) + changed @ self.penalties
        return scores
