"""A Gaussian mixture: how unlikely a representation is under several ellipsoids."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from sklearn.mixture import GaussianMixture
from torch import Tensor

from insphere.training.batch import Batch
from insphere.training.heads.center import choose_center, squared_distances
from insphere.training.heads.ellipsoid import whitening
from insphere.training.heads.head import Head, HeadSpec, Reduce

FEWEST = 2.0
"""Samples by the sum of their responsibilities that a component takes."""


class MixtureSpec(HeadSpec):
    """Settings of `Mixture`.

    Parameters
    ----------
    n_components : int
        Gaussians; fewer where there are few samples.
    shrinkage : float
        Share of each covariance that is replaced by a sphere of the same mean variance.
    """

    kind: Literal["mixture"] = "mixture"
    n_components: int = Field(default=5, ge=1)
    shrinkage: float = Field(default=0.05, gt=0, le=1)

    def build(self, rep_dim: int) -> Mixture:
        """Return one sphere around the origin; `Mixture.fit` places the components."""
        return Mixture(rep_dim, self)


class Mixture(Head):
    """2 (log p* − log p(z)) for a mixture of Gaussians, where log p* is its upper bound.

    p* = Σ π_k / √det(2π Σ_k) is the density that all components would have together if their
    means were one. With one component this is the squared Mahalanobis distance of `Ellipsoid`. The
    mixture is fitted by expectation maximisation to what the trained network gives; in training,
    representations are drawn to the centre of a sphere as in Deep SVDD. Weights of samples count in
    means and covariances, and not in the assignment.

    Parameters
    ----------
    rep_dim : int
        Length of a representation.
    settings : MixtureSpec
        The settings.
    """

    fitted_again: ClassVar[bool] = True

    means: Tensor
    roots: Tensor
    heights: Tensor
    center: Tensor

    def __init__(self, rep_dim: int, settings: MixtureSpec) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("means", torch.zeros(1, rep_dim))
        self.register_buffer("roots", torch.eye(rep_dim)[None])
        self.register_buffer("heights", torch.zeros(1))
        self.register_buffer("center", torch.zeros(rep_dim))
        self._placed = False

    def fit(self, normals: Batch) -> None:
        """Place the centre of the training; called again after it, fit the mixture."""
        z = normals.x
        self.center = choose_center(z, weights=normals.weights)
        n_components = self.settings.n_components if self._placed else 1
        self._placed = True
        rows = z.detach().cpu().double().numpy()
        k = max(1, min(n_components, len(rows) // 10))
        usual = float(rows.var(axis=0).mean())
        found = GaussianMixture(
            k, n_init=1, max_iter=100, tol=1e-3, random_state=0,
            reg_covar=max(self.settings.shrinkage * usual, 1e-12),
        ).fit(rows) if k > 1 else None  # fmt: skip
        shares = torch.ones(len(z), 1, dtype=torch.double)
        if found is not None:
            shares = torch.from_numpy(found.predict_proba(rows))
        if normals.weights is not None:
            shares = shares * normals.weights.cpu().double()[:, None]
        shares = shares[:, shares.sum(dim=0) >= FEWEST] if k > 1 else shares
        parts = [whitening(z, self.settings.shrinkage, own) for own in shares.T]
        self.means = torch.stack([mean for mean, _ in parts])
        self.roots = torch.stack([root for _, root in parts])
        log_shares = (shares.sum(dim=0) / shares.sum()).log()
        # W Wᵀ = Σ⁻¹, so log √det Σ⁻¹ = log |det W|
        log_roots = torch.linalg.slogdet(self.roots.cpu().double()).logabsdet
        heights = log_shares + log_roots
        self.heights = (heights - torch.logsumexp(heights, dim=0)).to(z)

    def forward(self, z: Tensor) -> Tensor:
        """Return 2 (log p* − log p(z)) of each row, shape (N,)."""
        squared = torch.stack(
            [
                ((z - m) @ root).square().sum(dim=1)
                for m, root in zip(self.means, self.roots, strict=True)
            ],
            dim=1,
        )
        return -2 * torch.logsumexp(self.heights - squared / 2, dim=1)

    def loss(self, batch: Batch, reduce: Reduce) -> Tensor:
        """Return the objective of the squared distances to the centre."""
        return reduce(squared_distances(batch.x, self.center))
