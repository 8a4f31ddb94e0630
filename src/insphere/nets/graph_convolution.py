"""Graph convolutions without biases, as sparse products (Kipf & Welling 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1


class GraphEncoder(nn.Module):
    """Graph convolutions: H ← Â H W, with leaky ReLU between them and none at the end.

    Parameters
    ----------
    widths : sequence of int
        Numbers of features: of the input, of each layer.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(widths))

    def forward(self, x: Tensor, adjacency: Tensor | Sequence[Tensor]) -> Tensor:
        """Map features to representations.

        Parameters
        ----------
        x : Tensor, shape (N, F)
            Dense or sparse features of all nodes.
        adjacency : sparse Tensor, shape (N, N), or a sequence of them
            Â, see `normalised_adjacency`; or one for each layer, see
            `insphere.nets.graph_sampling.sampled_surroundings`.

        Returns
        -------
        Tensor, shape (N, D)
        """
        for place, layer in enumerate(self.layers):
            weight = cast(nn.Linear, layer).weight.T
            step = adjacency if isinstance(adjacency, Tensor) else adjacency[place]
            x = step @ (x @ weight)
            if place + 1 < len(self.layers):
                x = F.leaky_relu(x, SLOPE)
        return x


def normalised_adjacency(walk: Any) -> Tensor:
    """Return D^(−1/2) (A + I) D^(−1/2), sparse N×N, from the walk D^(−1) (A + I).

    Parameters
    ----------
    walk : csr_matrix, shape (N, N)
        Rows that sum to 1.
    """
    found = normalised(walk).tocoo()
    return sparse_tensor(found.row, found.col, found.data, found.shape)


def normalised(walk: Any) -> Any:
    """Return the same as a csr_matrix."""
    found = walk.tocoo()
    degree = np.diff(walk.indptr).astype(np.float64)
    found.data = found.data * np.sqrt(degree[found.row] / degree[found.col])
    return found.tocsr()


def sparse_tensor(row: Any, column: Any, values: Any, shape: tuple[int, int]) -> Tensor:
    """Return a sparse float32 tensor in coordinate form."""
    places = torch.from_numpy(np.stack([row, column]).astype(np.int64))
    numbers = torch.from_numpy(np.asarray(values, np.float32))
    return torch.sparse_coo_tensor(places, numbers, shape, check_invariants=False).coalesce()
