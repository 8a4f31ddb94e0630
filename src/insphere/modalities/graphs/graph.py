"""A graph, and some of its nodes as an array that knows its graph."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from insphere.data.value_range import LARGEST
from insphere.errors import DataError

MOST_NODES = 10_000_000


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes with features, and undirected edges between them.

    Parameters
    ----------
    features : csr_matrix of float64, shape (N, F)
        A row for each node.
    edges : ndarray of int64, shape (E, 2)
        Pairs of nodes, each once, the smaller first.
    names : tuple of str, optional
        What each node is called.
    feature_names : tuple of str, optional
        What each feature is called.
    """

    features: Any
    edges: NDArray[np.int64]
    names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        features: Any,
        edges: Any,
        names: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> Self:
        """Check and make a graph.

        Parameters
        ----------
        features : array or sparse matrix, shape (N, F), or int
            A row for each node; or only their number: then a node is described by those that it is
            connected with, and by itself.
        edges : array of whole numbers, shape (E, 2)
            Pairs of nodes. Direction is not looked at; pairs that come twice count once.

        Raises
        ------
        DataError
            If an edge leads to an unknown node or to itself, or a feature is missing or too large.
        """
        pairs = np.asarray(edges)
        if pairs.size == 0:
            pairs = np.zeros((0, 2), np.int64)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
            raise DataError(
                "The edges of a graph are pairs of whole numbers, shape E×2, but got "
                f"{pairs.dtype} of shape {pairs.shape}."
            )
        described = not isinstance(features, int)
        n = features.shape[0] if described else int(features)
        if not 0 < n <= MOST_NODES:
            raise DataError(f"A graph has 1 to {MOST_NODES:,} nodes, but got {n:,}.")
        outside = (pairs < 0) | (pairs >= n)
        if outside.any():
            wrong = pairs[outside.any(axis=1)][0]
            raise DataError(
                f"The edge {wrong[0]}–{wrong[1]} leads to an unknown node: there are {n:,} nodes, "
                "numbered from 0."
            )
        loops = pairs[:, 0] == pairs[:, 1]
        if loops.any():
            raise DataError(
                f"{int(loops.sum()):,} edges lead from a node to itself, such as that of node "
                f"{pairs[loops][0, 0]}: leave these self-loops out."
            )
        pairs = np.unique(np.sort(pairs.astype(np.int64), axis=1), axis=0)
        if described:
            found = sparse.csr_matrix(features, dtype=np.float64)
            if not np.isfinite(found.data).all():
                row = int(np.searchsorted(
                    found.indptr, np.flatnonzero(~np.isfinite(found.data))[0], side="right"
                ) - 1)  # fmt: skip
                raise DataError(
                    f"A feature of node {row} is missing or not finite: fill it in, or leave the "
                    "node out."
                )
            largest = float(np.max(np.abs(found.data), initial=0.0))
            if largest > LARGEST:
                raise DataError(
                    f"The nodes have features up to {largest:.3g}, which are too large to compute "
                    f"with: rescale them to at most {LARGEST:.0g}."
                )
        else:
            found = sparse.csr_matrix(_adjacency(pairs, n) + sparse.identity(n, format="csr"))
        found.sum_duplicates()
        return cls(
            found,
            pairs,
            None if names is None else tuple(map(str, names)),
            None if feature_names is None else tuple(map(str, feature_names)),
        )

    def __len__(self) -> int:
        return int(self.features.shape[0])

    @cached_property
    def walk(self) -> Any:
        """One step of a random walk that may stay: csr_matrix N×N, rows sum to 1."""
        n = len(self)
        stay = sparse.csr_matrix(_adjacency(self.edges, n) + sparse.identity(n, format="csr"))
        return sparse.diags(1 / np.asarray(stay.sum(axis=1)).ravel()) @ stay

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over features and edges."""
        f = self.features
        digest = hashlib.sha256(f"graph {f.shape} {len(self.edges)}".encode())
        for values, kind in (
            (f.indptr, "<i8"),
            (f.indices, "<i8"),
            (f.data, "<f8"),
            (self.edges, "<i8"),
        ):
            digest.update(np.ascontiguousarray(values, dtype=kind).data)
        return digest.hexdigest()

    def name(self, node: int) -> str:
        """Return what a node is called."""
        return str(node) if self.names is None else self.names[node]

    def nodes(self, index: Any = None) -> Nodes:
        """Return some nodes, by default all, for `fit` and the scoring methods.

        Raises
        ------
        DataError
            If one of them is unknown.
        """
        chosen = np.arange(len(self)) if index is None else np.asarray(index)
        if chosen.dtype == bool and chosen.shape == (len(self),):
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or (chosen.dtype.kind not in "iu" and chosen.size):
            raise DataError("Nodes are chosen by a list of whole numbers, or a mask over all.")
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise DataError(
                f"There is no node {int(chosen[(chosen < 0) | (chosen >= len(self))][0])}: there "
                f"are {len(self):,}, numbered from 0."
            )
        found = chosen.astype(np.int64).view(Nodes)
        found.graph = self
        return found


class Nodes(np.ndarray[Any, Any]):
    """Numbers of nodes, int64, shape (n,), that keep their graph when a part is taken."""

    graph: Graph

    def __array_finalize__(self, source: Any) -> None:
        graph = getattr(source, "graph", None)
        if graph is not None:
            self.graph = graph

    @property
    def context_key(self) -> bytes:
        """What tells these nodes from those of the same numbers in another graph."""
        return bytes.fromhex(self.graph.fingerprint)


def _adjacency(pairs: NDArray[np.int64], n: int) -> Any:
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return sparse.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(n, n))
