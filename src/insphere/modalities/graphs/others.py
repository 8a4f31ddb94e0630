"""Graphs of other packages: NetworkX and PyTorch Geometric."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from insphere.errors import DataError
from insphere.modalities.graphs.graph import Graph


def from_networkx(found: Any) -> Graph:
    """Return a NetworkX graph, whose numeric attributes of nodes are the features.

    Without such attributes a node is described by those that it is connected with.

    Raises
    ------
    DataError
        If it has no nodes, or a node lacks a number that another has.
    """
    nodes = list(found.nodes(data=True))
    if not nodes:
        raise DataError("The graph has no nodes.")
    places = {node: i for i, (node, _) in enumerate(nodes)}
    known = dict.fromkeys(name for _, about in nodes for name in about)
    columns = [name for name in known if any(_is_number(about.get(name)) for _, about in nodes)]
    names = [str(node) for node, _ in nodes]
    features: Any = len(nodes)
    if columns:
        try:
            features = np.array([[float(about[c]) for c in columns] for _, about in nodes])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"A node lacks a number for one of {', '.join(map(str, columns[:10]))}: give each "
                "node all of them."
            ) from error
    edges = np.array([[places[a], places[b]] for a, b in found.edges()], np.int64).reshape(-1, 2)
    return Graph.of(features, edges, names, list(map(str, columns)) or names)


def from_pyg(found: Any) -> Graph:
    """Return a `Data` of PyTorch Geometric: `x` and `edge_index`; self-loops are left out.

    Raises
    ------
    DataError
        If it has no features.
    """
    if found.x is None or found.edge_index is None:
        raise DataError("The graph has no x or no edge_index: give nodes features and edges.")
    edges = np.asarray(found.edge_index.cpu().numpy(), np.int64).T
    return Graph.of(found.x.cpu().numpy(), edges[edges[:, 0] != edges[:, 1]])


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
