"""An ellipsoid: the Mahalanobis distance to the mean of the representations."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from insphere.training.batch import Batch
from insphere.training.heads.center import choose_center, squared_distances
from insphere.training.heads.head import Head, HeadSpec, Reduce


class EllipsoidSpec(HeadSpec):
    """Settings of `Ellipsoid`.

    Parameters
    ----------
    shrinkage : float
        Share of the covariance that is replaced by a sphere of the same mean variance.
    """

    kind: Literal["ellipsoid"] = "ellipsoid"
    shrinkage: float = Field(default=0.05, gt=0, le=1)

    def build(self, rep_dim: int) -> Ellipsoid:
        """Return a sphere around the origin; `Ellipsoid.fit` shapes it."""
        return Ellipsoid(rep_dim, self.shrinkage)


class Ellipsoid(Head):
    """(z − μ)ᵀ Σ⁻¹ (z − μ): the squared distance in standard deviations of each direction.

    In training, representations are drawn to the centre of a sphere as in Deep SVDD; the ellipsoid
    is fitted to what the trained network gives.

    Parameters
    ----------
    rep_dim : int
        Length of a representation.
    shrinkage : float
        See `EllipsoidSpec`.
    """

    fitted_again: ClassVar[bool] = True

    mean: Tensor
    root: Tensor
    center: Tensor

    def __init__(self, rep_dim: int, shrinkage: float) -> None:
        super().__init__()
        self.shrinkage = shrinkage
        self.register_buffer("mean", torch.zeros(rep_dim))
        self.register_buffer("root", torch.eye(rep_dim))
        self.register_buffer("center", torch.zeros(rep_dim))

    def fit(self, normals: Batch) -> None:
        """Measure mean and covariance of the representations."""
        z = normals.x
        self.center = choose_center(z, weights=normals.weights)
        self.mean, self.root = whitening(z, self.shrinkage, normals.weights)

    def forward(self, z: Tensor) -> Tensor:
        """Return the squared distance of each row."""
        return ((z - self.mean) @ self.root).square().sum(dim=1)

    def loss(self, batch: Batch, reduce: Reduce) -> Tensor:
        """Return the objective of the squared distances to the centre."""
        return reduce(squared_distances(batch.x, self.center))


def whitening(z: Tensor, shrinkage: float, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the mean μ of rows and a matrix W with W Wᵀ = Σ⁻¹, for a shrunk covariance Σ.

    Parameters
    ----------
    z : Tensor, shape (N, d)
        Rows.
    shrinkage : float
        Share s of (1 − s) Σ + s · tr(Σ)/d · I.
    weights : Tensor, shape (N,), optional
        Weights of the rows.

    Returns
    -------
    tuple of Tensor
        Shapes (d,) and (d, d), in the dtype of the rows.
    """
    rows = z.detach().cpu().double()
    shares = torch.full((len(rows),), 1 / len(rows), dtype=torch.double)
    if weights is not None:
        shares = weights.cpu().double() / weights.sum().cpu().double()
    mean = shares @ rows
    centered = rows - mean
    covariance = (centered * shares[:, None]).T @ centered
    usual = covariance.diagonal().mean().clamp_min(1e-12)
    covariance = (1 - shrinkage) * covariance
    covariance.diagonal().add_(shrinkage * usual)
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp_min(1e-12).rsqrt()).to(z)
    return mean.to(z), root.contiguous()  # as it is when loaded, so that bits are the same
