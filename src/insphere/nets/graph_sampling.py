"""The surroundings of some nodes, with a few neighbours of each chosen at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from insphere.nets.graph_convolution import sparse_tensor

Index = NDArray[np.int64]


def sampled_surroundings(
    adjacency: Any, nodes: Index, neighbors: int, layers: int, rng: np.random.Generator
) -> tuple[Index, list[Tensor]]:
    """Choose what a few graph convolutions need to see of a graph for some nodes.

    Of each node at most `neighbors` others are kept in each layer; what is kept weighs more, so
    that the expected sum over the neighbours is that of all (Hamilton et al. 2017).

    Parameters
    ----------
    adjacency : csr_matrix, shape (N, N)
        Â with the nodes themselves, as `insphere.nets.graph_convolution.normalised_adjacency`.
    nodes : ndarray of int64, shape (n,)
        Those whose representations are wanted; all different.
    neighbors, layers : int
        Others that are kept of each node, and number of convolutions.
    rng : Generator
        For the choice.

    Returns
    -------
    seen : ndarray of int64, shape (m,)
        The nodes whose features are needed.
    steps : list of sparse Tensor
        For each layer, from its input to its output: m×m₁, …, n×mₗ in the order of use.
    """
    steps: list[Tensor] = []
    wanted = np.asarray(nodes, np.int64)
    for _ in range(layers):
        rows, columns, values = [], [], []
        for place, node in enumerate(wanted.tolist()):
            part = slice(adjacency.indptr[node], adjacency.indptr[node + 1])
            found, weights = adjacency.indices[part], adjacency.data[part]
            own = found == node
            others = np.flatnonzero(~own)
            kept = others
            if len(others) > neighbors:
                kept = rng.choice(others, neighbors, replace=False)
            scale = len(others) / len(kept) if len(kept) else 1.0
            rows += [place] * (int(own.sum()) + len(kept))
            columns += [*found[own].tolist(), *found[kept].tolist()]
            values += [*weights[own].tolist(), *(scale * weights[kept]).tolist()]
        seen, inverse = np.unique(np.concatenate([wanted, np.array(columns)]), return_inverse=True)
        step = sparse_tensor(rows, inverse[len(wanted) :], values, (len(wanted), len(seen)))
        steps.insert(0, step)
        wanted = seen.astype(np.int64)
    return wanted, steps
