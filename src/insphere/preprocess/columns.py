"""Scaling of the columns of a table as a part of a network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class ScaledColumns(nn.Module):
    """Rows in units of the training rows; see `insphere.data.column_scale.ColumnScale.take`.

    Parameters
    ----------
    columns : ndarray of float64, shape (3, d)
        Centre and unit of each column, and what a change of it adds to the score; 0 if it was not
        constant. See `insphere.data.column_scale`.
    resolution : float
        Of its size, by which a constant column may differ through rounding.
    device : torch.device, optional
        Where rows come from.
    """

    center: Tensor
    scale: Tensor
    penalties: Tensor

    def __init__(
        self,
        columns: NDArray[np.float64],
        resolution: float,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        for name, values in zip(("center", "scale", "penalties"), columns, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64, device=device))

    def changed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scaled rows, and 1 where a column left its centre beyond rounding, (N, d)."""
        deviation = x.double() - self.center
        # Missing values are taken for the median.
        deviation = torch.where(torch.isnan(deviation), torch.zeros_like(deviation), deviation)
        changed = (deviation.abs() > self.resolution * self.center.abs()).double()
        return torch.where(self.penalties > 0, changed, deviation / self.scale), changed

    def forward(self, x: Tensor) -> Tensor:
        """Scale rows (N, d)."""
        return self.changed(x)[0]


class OnScaledColumns(ScaledColumns):
    """A score of scaled rows, as a score of rows in their own units.

    Parameters
    ----------
    columns, resolution
        As in `ScaledColumns`.
    score : torch.nn.Module
        From scaled rows (N, d) to scores (N,).
    """

    def __init__(self, columns: NDArray[np.float64], resolution: float, score: nn.Module) -> None:
        device = next((t.device for t in (*score.parameters(), *score.buffers())), None)
        super().__init__(columns, resolution, device)
        self.score = score

    def forward(self, x: Tensor) -> Tensor:
        """Score rows (N, d)."""
        scaled, changed = self.changed(x)
        scores: Tensor = self.score(scaled) + changed @ self.penalties
        return scores
