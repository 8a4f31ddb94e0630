"""Nodes of a graph with their labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from insphere.data.sample_set import SampleSet
from insphere.errors import DataError
from insphere.modalities.graphs.graph import Graph, Nodes


@dataclass(frozen=True, eq=False)
class GraphSet(SampleSet):
    """Nodes of one graph with their labels.

    Parameters
    ----------
    graph : Graph
        The whole graph.
    index : ndarray of int64, shape (N,)
        The nodes that are samples of the set; the others only connect them.
    labels, class_names, name, is_test, normal_classes
        See `SampleSet`.
    """

    samples_are_rows = False

    graph: Graph
    index: NDArray[np.int64]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    name: str = "graph"
    is_test: NDArray[np.bool_] | None = None
    normal_classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.index):
            raise DataError(f"There are {len(self.index)} nodes but {len(self.labels)} labels.")
        object.__setattr__(self, "paths", tuple(self.graph.name(int(i)) for i in self.index))

    def __repr__(self) -> str:
        return (
            f"GraphSet({self.name!r}, {len(self)} nodes, {len(self.graph.edges)} edges, "
            f"{len(self.class_names)} classes)"
        )

    def take(self, index: NDArray[np.int64]) -> Nodes:
        """Return the nodes at an index."""
        return self.graph.nodes(self.index[index])

    def one_class(self, index: NDArray[np.int64], name: str) -> Self:
        """Return the nodes at an index as a set of one class of this name."""
        labels = np.zeros(len(index), np.int64)
        return replace(
            self, index=self.index[index], labels=labels, class_names=(name,), is_test=None,
            normal_classes=(),
        )  # fmt: skip

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over graph, nodes and labels."""
        digest = hashlib.sha256(repr((self.graph.fingerprint, self.class_names)).encode())
        for values in (self.index, self.labels):
            digest.update(np.ascontiguousarray(values, dtype="<i8").data)
        return digest.hexdigest()
