"""Torch modules that several families of detectors score with.

Each computes in torch what a detector computes in NumPy. The two agree except for rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

TINY = 1e-300  # keeps the gradient of a root finite at 0


def squared_distances(F: Tensor, stored: Tensor) -> Tensor:
    """Return the squared Euclidean distances of rows (…, N, d) to stored rows (M, d), (…, N, M).

    As products, because differences of all pairs would take d times the memory.
    """
    products = F @ stored.T
    own = F.square().sum(dim=-1, keepdim=True)
    return (own - 2 * products + stored.square().sum(dim=1)).clamp_min(0)


def distances(F: Tensor, stored: Tensor) -> Tensor:
    """Return the Euclidean distances of rows (…, N, d) to stored rows (M, d), (…, N, M)."""
    return squared_distances(F, stored).clamp_min(TINY).sqrt()


class Applied(nn.Module):
    """A function of a network as a module.

    Parameters
    ----------
    network : torch.nn.Module
        Whose weights the function uses.
    compute : callable
        From a batch to its values.
    """

    def __init__(self, network: nn.Module, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.compute = network, compute

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to a batch."""
        return self.compute(x)


class NearestVectors(nn.Module):
    """Mean distance to the nearest stored vectors, (N, d) to (N,).

    Parameters
    ----------
    vectors : ndarray, shape (M, d)
        The stored vectors.
    n_neighbors : int
        Number of nearest ones.
    """

    training_vectors: Tensor

    def __init__(self, vectors: NDArray[Any], n_neighbors: int) -> None:
        super().__init__()
        self.register_buffer("training_vectors", torch.from_numpy(vectors))
        self.n_neighbors = n_neighbors

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        found = distances(F, self.training_vectors)
        return found.topk(self.n_neighbors, dim=1, largest=False).values.mean(dim=1)

    def expected(self, F: Tensor) -> Tensor:
        """Return the mean of the nearest stored vectors of each, (N, d)."""
        found = squared_distances(F, self.training_vectors)
        index = found.topk(self.n_neighbors, dim=1, largest=False).indices
        mean: Tensor = self.training_vectors[index].mean(dim=1)
        return mean
