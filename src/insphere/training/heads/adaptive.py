"""A sphere whose radius depends on the direction: large where normal samples vary much."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from insphere.training.batch import Batch
from insphere.training.heads.center import CenterSpec
from insphere.training.heads.head import Head, HeadSpec, Reduce
from insphere.training.heads.parse import AnyHead
from insphere.training.heads.radii import NeighborRadius, QuantileRadius, directions


class AdaptiveSpec(HeadSpec):
    """Settings of `Adaptive`.

    Parameters
    ----------
    radius : {"neighbors", "quantile"}
        The quantile of the distances of the training samples in the most similar directions; or a
        network without biases that predicts it, trained with the pinball loss.
    head : HeadSpec
        The head whose distance is measured in units of the radius.
    n_neighbors : int
        Training samples of which the quantile is taken.
    hidden : int
        Width of the network.
    nu : float
        Share of the training samples beyond their radius.
    """

    kind: Literal["adaptive"] = "adaptive"
    radius: Literal["neighbors", "quantile"] = "neighbors"
    head: AnyHead = CenterSpec()
    n_neighbors: int = Field(default=50, ge=1)
    hidden: int = Field(default=64, ge=1)
    nu: float = Field(default=0.1, gt=0, lt=1)

    @field_validator("head")
    @classmethod
    def _looks_at_one_view(cls, head: HeadSpec) -> HeadSpec:
        if head.views or isinstance(head, AdaptiveSpec):
            raise ValueError("the radius adapts around a head such as center or ellipsoid")
        return head

    def build(self, rep_dim: int) -> Adaptive:
        """Return a head with a radius of 1 everywhere; `Adaptive.fit` measures it."""
        return Adaptive(rep_dim, self)


class Adaptive(Head):
    """d²(z) / R²(u): the distance of another head in units of the radius in its direction.

    The network is trained with the distances d² of the other head, so that nothing changes before
    its end. Then R is fitted to the training samples. Calibration samples take no part in it: they
    stay exchangeable with new normal samples, and a conformal threshold on d² / R² keeps its
    promise whatever R is (normalised conformal prediction: Papadopoulos, Gammerman and Vovk 2008;
    quantiles that are predicted: Romano, Patterson and Candès 2019).

    Parameters
    ----------
    rep_dim : int
        Length of a representation.
    settings : AdaptiveSpec
        The settings.
    """

    fitted_again: ClassVar[bool] = True

    middle: Tensor

    def __init__(self, rep_dim: int, settings: AdaptiveSpec) -> None:
        super().__init__()
        self.settings = settings
        self.inner = settings.head.build(rep_dim)
        level = 1 - settings.nu
        self.radius: NeighborRadius | QuantileRadius
        if settings.radius == "neighbors":
            self.radius = NeighborRadius(rep_dim, settings.n_neighbors, level)
        else:
            self.radius = QuantileRadius(rep_dim, settings.hidden, level)
        self.register_buffer("middle", torch.zeros(rep_dim))
        self._placed = False

    def fit(self, normals: Batch) -> None:
        """Fit the other head; called again after training, measure the radii."""
        again = self._placed
        if not again or self.inner.fitted_again:
            self.inner.fit(normals)
        self._placed = True
        if again:
            self._measure(normals)

    def forward(self, z: Tensor) -> Tensor:
        """Return d² / R² of each row, shape (N,)."""
        squared: Tensor = self.inner(z)
        return squared / self.radii(z).square()

    def as_if_new(self, z: Tensor) -> Tensor:
        """Return the score of training representations, none of them its own neighbour."""
        return self.inner.as_if_new(z) / self.radii(z, itself=True).square()

    def radii(self, z: Tensor, *, itself: bool = False) -> Tensor:
        """Return R in the direction of each row, shape (N,).

        Parameters
        ----------
        z : Tensor, shape (N, rep_dim)
            Representations.
        itself : bool
            They are those of the training, and none is its own neighbour.
        """
        u = directions(z, self.middle)
        stores = isinstance(self.radius, NeighborRadius)
        found: Tensor = self.radius(u, itself=True) if itself and stores else self.radius(u)
        return found

    def loss(self, batch: Batch, reduce: Reduce) -> Tensor:
        """Return the loss of the other head."""
        return self.inner.loss(batch, reduce)

    def end_epoch(self, seen: Batch) -> dict[str, float]:
        """Do what the other head does."""
        return self.inner.end_epoch(seen)

    @torch.no_grad()
    def _measure(self, normals: Batch) -> None:
        z = normals.x
        own = dict(self.inner.named_buffers(recurse=False))
        self.middle = own.get("mean", own.get("center", z.mean(dim=0))).clone()
        squared = self.inner.as_if_new(z)
        smallest = torch.finfo(squared.dtype).tiny
        self.radius.fit(
            directions(z, self.middle), squared.clamp_min(smallest).sqrt(), normals.weights
        )
