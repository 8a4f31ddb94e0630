"""Nearest neighbours: the distance to the nearest normal representations."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from insphere.nets.views import nearest_mean
from insphere.training.batch import Batch
from insphere.training.heads.center import choose_center, squared_distances
from insphere.training.heads.head import Head, HeadSpec, Reduce


class NeighborsSpec(HeadSpec):
    """Settings of `Neighbors`.

    Parameters
    ----------
    n_neighbors : int
        Neighbours over which distances are averaged.
    """

    kind: Literal["neighbors"] = "neighbors"
    n_neighbors: int = Field(default=2, ge=1)

    def build(self, rep_dim: int) -> Neighbors:
        """Return a head that knows the origin alone; `Neighbors.fit` stores representations."""
        return Neighbors(rep_dim, self.n_neighbors)


class Neighbors(Head):
    """Mean distance to the nearest normal representations, all of length 1.

    In training, representations are drawn to the centre of a sphere as in Deep SVDD; what the
    trained network gives is stored.

    Parameters
    ----------
    rep_dim : int
        Length of a representation.
    n_neighbors : int
        See `NeighborsSpec`.
    """

    fitted_again: ClassVar[bool] = True

    normals: Tensor
    center: Tensor

    def __init__(self, rep_dim: int, n_neighbors: int) -> None:
        super().__init__()
        self.n_neighbors = n_neighbors
        self.register_buffer("normals", torch.zeros(1, rep_dim))
        self.register_buffer("center", torch.zeros(rep_dim))

    def fit(self, normals: Batch) -> None:
        """Store the representations."""
        self.center = choose_center(normals.x, weights=normals.weights)
        self.normals = F.normalize(normals.x.detach(), dim=1)

    def forward(self, z: Tensor) -> Tensor:
        """Return the mean distance of each row."""
        return nearest_mean(self.normals, F.normalize(z, dim=1), self.n_neighbors)

    def as_if_new(self, z: Tensor) -> Tensor:
        """Return the mean distance of stored representations to the others."""
        return nearest_mean(self.normals, F.normalize(z, dim=1), self.n_neighbors, itself=True)

    def loss(self, batch: Batch, reduce: Reduce) -> Tensor:
        """Return the objective of the squared distances to the centre."""
        return reduce(squared_distances(batch.x, self.center))
