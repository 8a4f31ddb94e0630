"""Mean and covariance of rows that come in batches."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS_AT_ONCE = 1 << 16


class Moments:
    """Mean and covariance of all rows that were added, without keeping the rows.

    The sums of two parts are put together as in Chan, Golub and LeVeque (1983), "Algorithms for
    computing the sample variance", so that nothing cancels however far from zero the mean is.

    Attributes
    ----------
    count : int
        Number of rows.
    mean : Tensor of float64, shape (d,)
        Their mean.
    products : Tensor of float64, shape (d, d)
        Sum of the products of the columns, each less its mean.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.products = torch.zeros(())

    def add(self, rows: Tensor) -> None:
        """Add rows, shape (n, d)."""
        for part in torch.split(rows, ROWS_AT_ONCE):
            if len(part):
                self._add(wide(part))

    def _add(self, rows: Tensor) -> None:
        mean = rows.mean(dim=0)
        centered = rows - mean
        products = centered.T @ centered
        if self.count:
            apart = mean - self.mean
            share = len(rows) / (self.count + len(rows))
            products = self.products + products + self.count * share * torch.outer(apart, apart)
            mean = self.mean + share * apart
        self.mean, self.products = mean, products
        self.count += len(rows)

    @property
    def covariance(self) -> Tensor:
        """The biased covariance, shape (d, d)."""
        return self.products / self.count

    @property
    def variance(self) -> Tensor:
        """The biased variance of each column, shape (d,)."""
        return self.covariance.diagonal()


def moments_of(rows: Tensor) -> Moments:
    """Return the moments of the rows of one tensor, shape (n, d)."""
    found = Moments()
    found.add(rows)
    return found


def wide(values: Tensor) -> Tensor:
    """Return values in float64, where the device has it."""
    return values if values.device.type == "mps" else values.double()
