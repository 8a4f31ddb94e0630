"""Why a node is where it is: which of its neighbours and of its features count."""

from __future__ import annotations

from typing import Any

import numpy as np

from insphere.modalities.exhibit import Bar, Exhibit, Vertex
from insphere.modalities.graphs.graph import Graph, Nodes

MOST = 8
MOST_DRAWN = 24


def node_exhibits(detector: Any, nodes: Nodes) -> list[Exhibit]:
    """Return what explains each node to a reader.

    Parameters
    ----------
    detector : GraphDetector
        Fitted to nodes.
    nodes : Nodes
        The nodes.
    """
    graph = nodes.graph
    found = []
    for node, around, features in zip(
        nodes.tolist(), detector.neighbour_shares(nodes), detector.feature_shares(nodes),
        strict=True,
    ):  # fmt: skip
        names = graph.feature_names
        found.append(
            Exhibit(
                title=f"Node {graph.name(node)}",
                bars=tuple(
                    Bar(f"feature {j}" if names is None else names[j], share)
                    for j, share in features[:MOST]
                    if share > 0
                ),
                head=("Around it", "Weight", "Own score") if around else (),
                rows=tuple(
                    (
                        ("itself" if other == node else graph.name(other)),
                        f"{weight:.0%}",
                        f"{own:.3f}",
                    )
                    for other, weight, own in around[:MOST]
                ),
                note="It has no neighbours, so it is judged by its features alone."
                if len(around) == 1
                else "",
                **_surroundings(graph, node, around),
            )
        )
    return found


def _surroundings(
    graph: Graph, node: int, around: list[tuple[int, float, float]]
) -> dict[str, Any]:
    """Return the nodes around one, with their part in the score, and the edges between them."""
    rows = {other: (weight, own) for other, weight, own in around}
    others = [other for other, _, _ in around if other != node][:MOST_DRAWN]
    drawn = [node, *others]
    places = {other: i for i, other in enumerate(drawn)}
    edges = tuple(
        (places[a], places[b])
        for a, b in graph.edges[np.isin(graph.edges, drawn).all(axis=1)].tolist()
    )
    direct = {b if a == 0 else a for a, b in edges if 0 in (a, b)}
    total = sum(weight * own for weight, own in rows.values()) or 1.0
    most = max((own for _, own in rows.values()), default=0.0) or 1.0
    vertices = []
    for place, other in enumerate(drawn):
        weight, own = rows.get(other, (0.0, 0.0))
        ring = 0 if not place else 1 if place in direct else 2
        vertices.append(Vertex(graph.name(other), ring, weight * own / total, own / most))
    return {"vertices": tuple(vertices), "edges": edges}
