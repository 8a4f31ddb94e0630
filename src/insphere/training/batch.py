"""A batch: preprocessed samples with their labels, groups and weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Samples of one step of training.

    Parameters
    ----------
    x : Tensor, shape (B, ...)
        Preprocessed samples.
    labels : Tensor, shape (B,), optional
        Label of each.
    groups : Tensor of int64, shape (B,), optional
        Group of each.
    weights : Tensor of float64, shape (B,), optional
        Weight of each; the mean over the training set is 1.
    """

    x: Tensor
    labels: Tensor | None = None
    groups: Tensor | None = None
    weights: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.x)

    def with_x(self, x: Tensor) -> Batch:
        """Return the same batch with other values for its samples, such as representations."""
        return self._replace(x=x)

    def normals(self) -> Batch:
        """Return the samples whose label is not below 0, which means anomalous."""
        if self.labels is None:
            return self
        kept = self.labels >= 0
        others = [None if values is None else values[kept] for values in self[1:]]
        return Batch(self.x[kept], *others)


def joined(batches: Sequence[Batch]) -> Batch:
    """Concatenate batches."""
    columns = zip(*batches, strict=True)
    together: list[Any] = [None if column[0] is None else torch.cat(column) for column in columns]
    return Batch(*together)


def weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of losses, shape (B,), each times its weight.

    Weights of 1 give the same bits as no weights.
    """
    if weights is None:
        return losses.mean()
    return (losses * weights.to(losses.dtype)).mean()
