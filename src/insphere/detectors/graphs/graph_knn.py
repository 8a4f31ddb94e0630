"""Nearest normal nodes by features, and the evidence of a node's surroundings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from insphere.detectors.base.checks import require_count
from insphere.detectors.base.estimator import Array, OneClassDetector
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.graphs.node_features import NodeScale
from insphere.errors import DataError
from insphere.modalities.graphs.graph import Graph, Nodes

Floats = NDArray[np.float64]
CHUNK = 1024


@parameters
class GraphKNN(OneClassDetector):
    """Distance of a node's features from the nearest normal nodes, averaged over its surroundings.

    Each node of the graph gets the mean distance to the features of the nearest normal nodes. Its
    score is the mean of these over a random walk of some steps from the node, that may stay at each
    step: neighbours tend to be of one kind, so each is a witness. Distances are averaged, and not
    the features, so that what is odd about one node is not washed out before it is compared.

    Nodes of a new graph are scored in the same way; nodes that were trained on are compared with
    the others, never with themselves.

    Parameters
    ----------
    n_neighbors : int, default=10
        Normal nodes whose distances are averaged.
    steps : int, default=2
        Steps of the walk; 0 looks at the features of the node alone.
    weighting : {"auto", "tf-idf", "standard"}, default="auto"
        "tf-idf": features are words that a node has or has not, weighted by how rare they are among
        all nodes of the graph, by cosine. "standard": columns are standardised, by Euclidean
        distance. "auto": words if features are 0 or more and mostly 0.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`. A promise about false alarms needs training nodes that were drawn
        at random from the normal ones.

    Examples
    --------
    >>> import numpy as np
    >>> from insphere.detectors import GraphKNN
    >>> from insphere.modalities.graphs.graph import Graph
    >>> rng = np.random.default_rng(0)
    >>> features = np.concatenate([rng.normal(0, 1, (40, 5)), rng.normal(3, 1, (10, 5))])
    >>> ring = np.stack([np.arange(49), np.arange(1, 50)], axis=1)
    >>> graph = Graph.of(features, ring)
    >>> detector = GraphKNN(n_neighbors=3).fit(graph.nodes(range(30)))
    >>> scores = detector.anomaly_score(graph)
    >>> bool(scores[40:].min() > scores[:40].max())
    True
    """

    card = MethodCard(
        key="graph-knn",
        title="Nearest nodes, over the surroundings",
        family="graphs",
        summary="distance to the nearest normal nodes, averaged over a walk from the node",
        takes=("graphs",),
    )

    _scores_as_if_new = True

    n_neighbors: int = 10
    steps: int = 2
    weighting: str = "auto"

    def _fit(self, X: Array) -> None:
        nodes = require_nodes(X, self)
        require_count("steps", self.steps, 0)
        require_count("n_neighbors", self.n_neighbors, 1)
        graph = nodes.graph
        self.index_ = np.asarray(nodes, np.int64).copy()
        self.graph_key_ = graph.fingerprint
        self.scale_ = NodeScale.fitted(graph.features, self.index_, self.weighting)
        self.training_ = self.scale_.take(graph.features[self.index_])

    def _anomaly_score(self, X: Array) -> Floats:
        nodes = require_nodes(X, self)
        scores = self._own_scores(nodes.graph)
        for _ in range(self.steps):
            scores = nodes.graph.walk @ scores
        chosen: Floats = np.asarray(scores)[np.asarray(nodes)]
        return chosen

    def _own_scores(self, graph: Graph) -> Floats:
        """Return the score of each node of a graph by its features alone."""
        kept = getattr(self, "_kept", None)
        if kept is not None and kept[0] == graph.fingerprint:
            known: Floats = kept[1]
            return known
        features = self.scale_.take(graph.features)
        own = np.full(len(graph), -1)
        if graph.fingerprint == self.graph_key_:
            own[self.index_] = np.arange(len(self.index_))
        scores = np.empty(len(graph))
        for start in range(0, len(graph), CHUNK):
            part = slice(start, start + CHUNK)
            distances = self._distances(features[part])
            mine = own[part]
            distances[np.flatnonzero(mine >= 0), mine[mine >= 0]] = np.inf
            k = min(self.n_neighbors, len(self.index_) - 1)
            scores[part] = np.partition(distances, k - 1, axis=1)[:, :k].mean(axis=1)
        self._kept = (graph.fingerprint, scores)
        return scores

    def _distances(self, features: Any) -> Floats:
        if self.scale_.words:
            alike: Floats = np.asarray((features @ self.training_.T).todense())
            return 1 - alike
        squared = (
            (features**2).sum(axis=1)[:, None]
            + (self.training_**2).sum(axis=1)
            - 2 * features @ self.training_.T
        )
        found: Floats = np.sqrt(np.maximum(squared, 0))
        return found

    # ------------------------------------------------------------------ explaining

    def neighbour_shares(self, X: Any) -> list[list[tuple[int, float, float]]]:
        """Return what each score is the mean of: nodes around, their weight and their own score.

        Parameters
        ----------
        X : nodes of a graph

        Returns
        -------
        list of lists of (node, weight, own score)
            Those that add most first; the weights of a list sum to 1, and the weighted mean of the
            scores is the score of the node.
        """
        nodes = require_nodes(self._read(X), self)
        own = self._own_scores(nodes.graph)
        found = []
        for node in nodes.tolist():
            weights = sparse.csr_matrix(([1.0], ([0], [node])), shape=(1, len(nodes.graph)))
            for _ in range(self.steps):
                weights = weights @ nodes.graph.walk
            pairs = zip(weights.indices.tolist(), weights.data.tolist(), strict=True)
            rows = [(other, weight, float(own[other])) for other, weight in pairs]
            found.append(sorted(rows, key=lambda row: -row[1] * row[2]))
        return found

    def feature_shares(self, X: Any) -> list[list[tuple[int, float]]]:
        """Return which features of each node set it apart from the nearest normal nodes.

        Parameters
        ----------
        X : nodes of a graph

        Returns
        -------
        list of lists of (feature, share)
            The largest first, features without a share left out; the shares sum to 1 at most.
        """
        nodes = require_nodes(self._read(X), self)
        features = self.scale_.take(nodes.graph.features[np.asarray(nodes)])
        found = []
        for row in range(len(nodes)):
            one = features[row : row + 1]
            nearest = np.argsort(self._distances(one)[0], kind="stable")[: self.n_neighbors]
            usual = np.asarray(self.training_[nearest].mean(axis=0)).ravel()
            value = one.toarray().ravel() if self.scale_.words else one.ravel()
            parts = value * (value - usual) if self.scale_.words else (value - usual) ** 2
            parts = np.maximum(parts, 0)
            total = parts.sum()
            order = np.argsort(-parts, kind="stable")[: np.count_nonzero(parts)]
            found.append([(int(j), float(parts[j] / total)) for j in order])
        return found

    # ------------------------------------------------------------------ saving

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays: dict[str, Array] = {"index": self.index_} | self.scale_.state()
        if self.scale_.words:
            t = self.training_
            arrays |= {"t.data": t.data, "t.indices": t.indices, "t.indptr": t.indptr}
        else:
            arrays["t.rows"] = np.ascontiguousarray(self.training_)
        return arrays, {"graph": self.graph_key_}

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self.index_, self.graph_key_ = arrays["index"], str(meta["graph"])
        self.scale_ = NodeScale.restored(arrays)
        if self.scale_.words:
            parts = (arrays["t.data"], arrays["t.indices"], arrays["t.indptr"])
            shape = (len(self.index_), len(self.scale_.unit))
            self.training_ = sparse.csr_matrix(parts, shape=shape)
            self.training_.check_format()
        else:
            self.training_ = arrays["t.rows"]


def require_nodes(X: Array, detector: Any) -> Nodes:
    """Return X as nodes, or refuse it.

    Raises
    ------
    DataError
        If these are no nodes of a graph.
    """
    if not isinstance(X, Nodes):
        raise DataError(
            f"{type(detector).__name__} takes nodes of a graph, but got {detector.modality_.noun}; "
            "use one of the detectors for these."
        )
    return X
