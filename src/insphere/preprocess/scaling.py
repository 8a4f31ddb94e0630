"""Scaling by statistics of the training normals: min-max and standardisation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from insphere.preprocess.step import (
    Batches,
    Scope,
    Spec,
    Step,
    nonzero_or_one,
    reduced_dimensions,
    statistics_shape,
)


class MinMaxSpec(Spec):
    """Settings of `MinMax`."""

    step: Literal["minmax"] = "minmax"
    scope: Scope = "all"

    def build(self, shape: tuple[int, ...]) -> MinMax:
        """Make the step for samples of `shape`."""
        return MinMax(shape, self.scope)


class MinMax(Step):
    """Map the extremes of the training data to 0 and 1; new data may lie outside.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample.
    scope : {"all", "channel", "feature"}
        Which values share their extremes; "all" is what the paper does.
    """

    low: Tensor
    high: Tensor

    def __init__(self, shape: tuple[int, ...], scope: Scope = "all") -> None:
        super().__init__()
        size = statistics_shape(shape, scope)
        self.register_buffer("low", torch.zeros(size))
        self.register_buffer("high", torch.ones(size))

    def fit(self, batches: Batches) -> None:
        """Find the extremes."""
        dims = reduced_dimensions(self.low)
        low = torch.full_like(self.low, torch.inf)
        high = torch.full_like(self.high, -torch.inf)
        for x in batches():
            low = torch.minimum(low, x.amin(dim=dims, keepdim=True))
            high = torch.maximum(high, x.amax(dim=dims, keepdim=True))
        self.low.copy_(low)
        self.high.copy_(high)

    def forward(self, x: Tensor) -> Tensor:
        """Scale a batch."""
        return (x - self.low) / nonzero_or_one(self.high - self.low)

    def inverse(self, x: Tensor) -> Tensor:
        """Map 0 and 1 back to the extremes."""
        return x * nonzero_or_one(self.high - self.low) + self.low


class StandardizeSpec(Spec):
    """Settings of `Standardize`."""

    step: Literal["standardize"] = "standardize"
    scope: Scope = "channel"

    def build(self, shape: tuple[int, ...]) -> Standardize:
        """Make the step for samples of `shape`."""
        return Standardize(shape, self.scope)


class Standardize(Step):
    """Subtract the training mean and divide by the training standard deviation.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample.
    scope : {"all", "channel", "feature"}
        Which values share mean and deviation. Values that never vary are only centred.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, ...], scope: Scope = "channel") -> None:
        super().__init__()
        size = statistics_shape(shape, scope)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def fit(self, batches: Batches) -> None:
        """Compute mean and deviation in two passes and in float64."""
        dims = reduced_dimensions(self.mean)
        total = torch.zeros_like(self.mean, dtype=torch.float64)
        count = 0
        for x in batches():
            total += x.double().sum(dim=dims, keepdim=True)
            count += x.numel() // self.mean.numel()
        mean = total / count
        square = torch.zeros_like(total)
        for x in batches():
            square += (x.double() - mean).square().sum(dim=dims, keepdim=True)
        self.mean.copy_(mean)
        self.std.copy_((square / count).sqrt())

    def forward(self, x: Tensor) -> Tensor:
        """Standardise a batch."""
        return (x - self.mean) / nonzero_or_one(self.std)

    def inverse(self, x: Tensor) -> Tensor:
        """Return to the original scale."""
        return x * nonzero_or_one(self.std) + self.mean
