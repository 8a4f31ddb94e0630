"""One-class graph neural network (Wang et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from insphere.detectors.base.checks import is_real, require, require_count
from insphere.detectors.base.estimator import Array, OneClassDetector
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_state import (
    arrays_of,
    load_arrays,
    matching_weights,
    seed_from,
)
from insphere.detectors.base.parameters import parameters
from insphere.detectors.graphs.graph_knn import require_nodes
from insphere.detectors.graphs.node_features import NodeScale
from insphere.modalities.graphs.graph import Graph
from insphere.nets.draws import initial_weights
from insphere.nets.graph_convolution import (
    GraphEncoder,
    normalised,
    normalised_adjacency,
    sparse_tensor,
)
from insphere.nets.graph_sampling import sampled_surroundings
from insphere.training.adam import Adam
from insphere.training.gradients import with_gradients
from insphere.training.guard import CollapseGuard
from insphere.training.heads.center import choose_center, squared_distances

Floats = NDArray[np.float64]
PREFIX = "encoder."


@parameters
class OCGNN(OneClassDetector):
    """Graph convolutions trained to map the normal nodes close to one centre.

    The score is ‖φ(node) − c‖². The whole graph is in each step, or with `neighbors` a batch of
    nodes with some of those around them. New nodes, and other graphs with the same features, are
    scored without training again, by the whole graph.

    Parameters
    ----------
    layers : int, default=2
        Graph convolutions, without biases.
    width : int, default=64
        Features of each layer and of the representation.
    epochs : int, default=100
        Passes over the training nodes; 0 leaves the network untrained.
    neighbors : int, optional
        Neighbours of each node that each layer sees in a step, chosen at random; by default all,
        and then an epoch is one step over all training nodes.
    batch_size : int, default=256
        Training nodes of a step, with `neighbors`.
    lr : float, default=1e-3
        Learning rate.
    weight_decay : float, default=5e-4
        Decay of the weights.
    weighting : {"auto", "tf-idf", "standard"}, default="auto"
        See `GraphKNN`.
    allow_collapse : bool, default=False
        Go on if the network has collapsed.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    center_ : ndarray of float32, shape (width,)
        c.
    history_ : list of dict
        Loss of each epoch.
    guard_findings_ : list of str
        What the collapse guard found.
    """

    card = MethodCard(
        key="ocgnn",
        title="OCGNN",
        family="graphs",
        summary="graph convolutions trained to map normal nodes close to one centre",
        takes=("graphs",),
    )

    layers: int = 2
    width: int = 64
    epochs: int = 100
    neighbors: int | None = None
    batch_size: int = 256
    lr: float = 1e-3
    weight_decay: float = 5e-4
    weighting: str = "auto"
    allow_collapse: bool = False

    def _fit(self, X: Array) -> None:
        nodes = require_nodes(X, self)
        require_count("layers", self.layers, 1)
        require_count("width", self.width, 1)
        require_count("epochs", self.epochs, 0)
        require_count("batch_size", self.batch_size, 1)
        if self.neighbors is not None:
            require_count("neighbors", self.neighbors, 1)
        for name, value in (("lr", self.lr), ("weight_decay", self.weight_decay)):
            require(
                is_real(value) and np.isfinite(value) and (value > 0 or name != "lr"),
                f"{name} is a positive number, but got {value!r}.",
            )
        index = np.asarray(nodes, np.int64)
        self.scale_ = NodeScale.fitted(nodes.graph.features, index, self.weighting)
        self._train(nodes.graph, torch.from_numpy(index.copy()))

    @with_gradients
    def _train(self, graph: Graph, index: Tensor) -> None:
        features, adjacency = self._tensors(graph)
        with initial_weights(seed_from(self.random_state)):
            encoder = self._new_encoder()
        with torch.no_grad():
            z = encoder(features, adjacency)[index]
        center = choose_center(z)
        guard = CollapseGuard(self.allow_collapse)
        guard.begin(z, squared_distances(z, center))
        adam = Adam(encoder.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        self.history_: list[dict[str, float]] = []
        for epoch in range(self.epochs):
            losses = []
            steps: Iterable[Callable[[], Tensor]] = [lambda: encoder(features, adjacency)[index]]
            if self.neighbors is not None:
                steps = self._sampled(encoder, graph, index, epoch)
            for compute in steps:
                adam.zero_grad()
                z = compute()
                distances = squared_distances(z, center)
                loss = distances.mean()
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()
                losses.append(float(loss.detach()))
            self.history_.append({"epoch": epoch + 1, "loss": float(np.mean(losses))})
            guard.watch(z.detach(), distances.detach())
        self.guard_findings_ = guard.summary()
        self.encoder_, self._center = encoder.eval(), center
        self.center_ = center.numpy()

    def _sampled(
        self, encoder: GraphEncoder, graph: Graph, index: Tensor, epoch: int
    ) -> Iterator[Callable[[], Tensor]]:
        """Yield, for each batch of an epoch, what computes the representations of its nodes."""
        assert self.neighbors is not None
        around = normalised(graph.walk)
        rng = np.random.default_rng([seed_from(self.random_state), epoch])
        order = rng.permutation(index.numpy())
        for first in range(0, len(order), self.batch_size):
            nodes = order[first : first + self.batch_size]
            seen, steps = sampled_surroundings(around, nodes, self.neighbors, self.layers, rng)
            rows = self.scale_.take(graph.features[seen])
            dense = rows.todense() if sparse.issparse(rows) else rows
            yield partial(encoder, torch.from_numpy(np.asarray(dense, np.float32)), steps)

    def _anomaly_score(self, X: Array) -> Floats:
        nodes = require_nodes(X, self)
        with torch.inference_mode():
            z = self.encoder_(*self._tensors(nodes.graph))
            distances = squared_distances(z, self._center).double().numpy()
        chosen: Floats = distances[np.asarray(nodes)]
        return chosen

    def _new_encoder(self) -> GraphEncoder:
        return GraphEncoder([len(self.scale_.unit), *[self.width] * self.layers])

    def _tensors(self, graph: Graph) -> tuple[Tensor, Tensor]:
        rows: Any = self.scale_.take(graph.features)
        if sparse.issparse(rows):
            found = rows.tocoo()
            features = sparse_tensor(found.row, found.col, found.data, found.shape)
        else:
            features = torch.from_numpy(rows.astype(np.float32))
        return features, normalised_adjacency(graph.walk)

    # ------------------------------------------------------------------ explaining

    def neighbour_shares(self, X: Any) -> list[list[tuple[int, float, float]]]:
        """Return for each node its neighbours with the weight and the score of each."""
        nodes = require_nodes(self._read(X), self)
        scores = self._anomaly_score(nodes.graph.nodes())
        found = []
        for node in nodes.tolist():
            row = nodes.graph.walk[node]
            pairs = zip(row.indices.tolist(), row.data.tolist(), strict=True)
            rows = [(other, weight, float(scores[other])) for other, weight in pairs]
            found.append(sorted(rows, key=lambda item: -item[1] * item[2]))
        return found

    @with_gradients
    def feature_shares(self, X: Any) -> list[list[tuple[int, float]]]:
        """Return which features of each node lift its score: gradient times value, of its own."""
        nodes = require_nodes(self._read(X), self)
        features, adjacency = self._tensors(nodes.graph)
        dense = features.to_dense() if features.is_sparse else features
        found = []
        for node in nodes.tolist():
            x = dense.clone().requires_grad_(True)
            score = squared_distances(self.encoder_(x, adjacency)[[node]], self._center).sum()
            (slope,) = torch.autograd.grad(score, x)
            parts = (slope[node] * x[node]).clamp(min=0).detach().double().numpy()
            order = np.argsort(-parts, kind="stable")[: np.count_nonzero(parts)]
            total = parts.sum()
            found.append([(int(j), float(parts[j] / total)) for j in order])
        return found

    # ------------------------------------------------------------------ saving

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        own = {PREFIX + name: value for name, value in arrays_of(self.encoder_).items()}
        arrays = own | self.scale_.state() | {"center": self.center_}
        return arrays, {"history": self.history_, "guard_findings": self.guard_findings_}

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self.scale_ = NodeScale.restored(arrays)
        self.center_ = np.array(arrays["center"])
        self._center = torch.from_numpy(self.center_)
        with matching_weights():
            self.encoder_ = self._new_encoder()
            own = {n.removeprefix(PREFIX): v for n, v in arrays.items() if n.startswith(PREFIX)}
            load_arrays(self.encoder_, own, torch.device("cpu"))
        self.history_ = list(meta["history"])
        self.guard_findings_ = list(meta["guard_findings"])
