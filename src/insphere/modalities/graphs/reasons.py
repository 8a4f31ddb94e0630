"""Why a node is where it is: which of its neighbours and of its features count."""

from __future__ import annotations

from typing import Any

from insphere.modalities.exhibit import Bar, Exhibit
from insphere.modalities.graphs.graph import Nodes

MOST = 8


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
            )
        )
    return found
