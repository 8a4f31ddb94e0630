"""Nodes of graphs, from `Graph`, NetworkX, PyTorch Geometric and files."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from insphere.data.inputs import training_index
from insphere.data.read_options import ReadOptions
from insphere.data.sample_set import SampleSet
from insphere.errors import DataError
from insphere.modalities.exhibit import Exhibit
from insphere.modalities.graphs.files import looks_like_a_graph, read_graph
from insphere.modalities.graphs.graph import Graph, Nodes
from insphere.modalities.graphs.graph_set import GraphSet
from insphere.modalities.graphs.others import from_networkx, from_pyg
from insphere.modalities.modality import Array, Example, Modality, forget_columns

MOST_NAMES = 100_000  # of features that are remembered


@dataclass(frozen=True)
class Graphs(Modality):
    """Nodes of a graph.

    Parameters
    ----------
    features : int
        Number of features of a node.
    names : tuple of str
        Their names, by which those of other graphs are put in this order; empty if they have none,
        or there are more than `MOST_NAMES`.
    """

    features: int
    names: tuple[str, ...] = ()

    key: ClassVar[str] = "graphs"
    noun: ClassVar[str] = "nodes of a graph"
    plural: ClassVar[str] = "nodes"
    singular: ClassVar[str] = "node"
    how_to_label: ClassVar[str] = "give each node a label"
    needs_own: ClassVar[bool] = True
    independent: ClassVar[bool] = False
    method: ClassVar[str] = "graph-knn"
    example: ClassVar[Example] = Example("karate-club", "Members of a karate club", "networkx")
    rivals: ClassVar[tuple[str, ...]] = ("ocgnn",)

    @classmethod
    def demo(cls) -> tuple[GraphSet, str]:
        """Return Zachary's karate club, which NetworkX ships; one club is normal."""
        from insphere.modalities.graphs.demo import karate_club

        return karate_club(), "Mr. Hi"

    @classmethod
    def reads(cls, X: Any) -> bool:
        """Whether this is a graph, or nodes of one."""
        if isinstance(X, (Nodes, Graph, GraphSet)):
            return True
        networkx = sys.modules.get("networkx")
        if networkx is not None and isinstance(X, networkx.Graph):
            return True
        return hasattr(X, "edge_index") and hasattr(X, "x")

    @classmethod
    def is_source(cls, source: str) -> bool:
        """Whether this is an .npz file with edges, or JSON with nodes."""
        return looks_like_a_graph(source)

    @classmethod
    def load(cls, source: str, reading: ReadOptions, *, progress: bool | None = None) -> GraphSet:
        """Read a file; see `insphere.modalities.graphs.files.read_graph`."""
        return read_graph(source, reading.columns)

    @classmethod
    def owns(cls, data: Array) -> bool:
        """Whether these are nodes that know their graph."""
        return isinstance(data, Nodes)

    @classmethod
    def read(cls, X: Any, *, fitting: bool, estimator: Any) -> Array:
        """Return the nodes of a graph, or those chosen."""
        if isinstance(X, GraphSet):
            found = X.take(training_index(X) if fitting else np.arange(len(X)))
        elif isinstance(X, Nodes):
            found = X
        elif isinstance(X, Graph):
            found = X.nodes()
        elif hasattr(X, "edge_index"):
            found = from_pyg(X).nodes()
        else:
            found = from_networkx(X).nodes()
        if fitting:
            if len(found) < 2:
                raise DataError(
                    f"Training needs at least 2 normal nodes, but got n_samples = {len(found)}."
                )
            if len(np.unique(found)) < len(found):
                raise DataError("A node was given twice to train on: give each once.")
            forget_columns(estimator)
        return found

    @classmethod
    def of(cls, data: Array) -> Self:
        """Return the number of features, and their names."""
        graph: Graph = data.graph  # type: ignore[attr-defined]
        names = graph.feature_names or ()
        return cls(int(graph.features.shape[1]), names if len(names) <= MOST_NAMES else ())

    def new(self, X: Any, estimator: Any) -> Array:
        """Read new nodes, whose features are put in the order of training by their names."""
        nodes = self.read(X, fitting=False, estimator=estimator)
        graph: Graph = nodes.graph  # type: ignore[attr-defined]
        own = graph.feature_names
        if self.names and own is not None and own != self.names:
            places = {name: i for i, name in enumerate(own)}
            lacking = [name for name in self.names if name not in places]
            if lacking or own == graph.names:
                raise DataError(
                    "The detector was trained on a graph without features, where a node is known "
                    "by its neighbours: give the same nodes in the same order, or features."
                    if own == graph.names
                    else f"The nodes lack the feature {lacking[0]}, which the detector was trained "
                    f"on; they have: {', '.join(own[:20])}."
                )
            order = [places[name] for name in self.names]
            graph = replace(graph, features=graph.features[:, order], feature_names=self.names)
            nodes = graph.nodes(np.asarray(nodes))
        self.check(nodes)
        return nodes

    @classmethod
    def check_varied(cls, data: Array) -> None:
        """Refuse nodes that all have the same features and the same neighbours."""
        graph: Graph = data.graph  # type: ignore[attr-defined]
        rows = graph.features[np.asarray(data)]
        alike = abs(rows - rows[np.zeros(len(data), int)]).sum() == 0
        if alike and len(graph.edges) == 0:
            raise DataError(
                f"All {len(data):,} training nodes have the same features and no edges, so there "
                "is nothing to learn from them."
            )

    def exhibits(
        self, detector: Any, data: SampleSet, index: NDArray[np.int64]
    ) -> list[Exhibit] | None:
        """Return the neighbours and the features that count."""
        from insphere.modalities.graphs.reasons import node_exhibits

        return node_exhibits(detector, data.take(index))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(F,)."""
        return (self.features,)

    @property
    def size(self) -> str:
        """Number of features."""
        return f"{self.features} features"

    def describe(self) -> str:
        """Return the noun and the number of features."""
        return f"{self.noun} with {self.features} features"

    def check(self, data: Array) -> None:
        """Refuse nodes with another number of features."""
        found = int(data.graph.features.shape[1])  # type: ignore[attr-defined]
        if found != self.features:
            raise DataError(
                f"The detector was trained on {self.describe()}, but these nodes have {found}."
            )
