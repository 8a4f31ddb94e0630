"""Several centres: one sphere for each class of normal samples, or for each cluster."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from sklearn.cluster import KMeans
from torch import Tensor

from insphere.training.batch import Batch
from insphere.training.heads.center import CENTER_MARGIN, choose_center
from insphere.training.heads.head import Head, HeadSpec, Reduce

FEW_MEMBERS = 10  # below this, the radius of all spheres together is used
SMALLEST_RADIUS = 1e-3  # as a share of the radius of all spheres together


class CentersSpec(HeadSpec):
    """Settings of `Centers`.

    Parameters
    ----------
    n_centers : int
        Number of centres where samples have no classes. With classes there is one for each.
    smallest : float
        Centres without a class are dropped after training if they have fewer members than this
        share of the average (Ghafoori and Leckie 2020, "Deep multi-sphere support vector data
        description", drop small spheres as well).
    nu : float
        Share of the members of a sphere that lie outside its radius.
    """

    kind: Literal["centers"] = "centers"
    n_centers: int = Field(default=5, ge=1)
    smallest: float = Field(default=0.2, ge=0, lt=1)
    nu: float = Field(default=0.1, gt=0, lt=1)

    def build(self, rep_dim: int) -> Centers:
        """Return one centre at the origin; `Centers.fit` places as many as are needed."""
        return Centers(rep_dim, self)


class Centers(Head):
    """The distance to the nearest of several spheres, in units of its own radius.

    The score is min over k of ‖z − c_k‖² / R_k². Each centre is the mean of its class in a first
    pass, or of a cluster of k-means, and stays fixed. In training, each sample is drawn to the
    centre of its own class, or to the nearest centre. R_k² is the (1 − ν) quantile of the squared
    distances of the samples of sphere k.

    Parameters
    ----------
    rep_dim : int
        Length of a representation.
    settings : CentersSpec
        The settings.
    """

    fitted_again: ClassVar[bool] = True

    centers: Tensor
    radii: Tensor

    def __init__(self, rep_dim: int, settings: CentersSpec) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("centers", torch.zeros(1, rep_dim))
        self.register_buffer("radii", torch.ones(1))
        self._placed = False

    def fit(self, normals: Batch) -> None:
        """Place the centres; called again after training, measure the radii of the spheres."""
        if not self._placed:
            self.centers = self._places(normals)
            self._placed = True
        elif normals.labels is None:
            self._drop_small(normals.x)
        self.radii = self._measured_radii(normals)

    def forward(self, z: Tensor) -> Tensor:
        """Return the squared distance to the nearest sphere in units of its radius, shape (N,)."""
        return self.scaled(z).min(dim=1).values

    def scaled(self, z: Tensor) -> Tensor:
        """Return ‖z − c_k‖² / R_k² to each sphere, shape (N, K)."""
        return self._squared(z) / self.radii.square()

    def loss(self, batch: Batch, reduce: Reduce) -> Tensor:
        """Return the loss as a function of ‖z − c_k‖² to the own, else to the nearest centre."""
        squared = self._squared(batch.x)
        if batch.labels is None:
            return reduce(squared.min(dim=1).values)
        return reduce(squared.gather(1, batch.labels[:, None]).squeeze(1))

    def add(self, z: Tensor) -> None:
        """Add a sphere around further representations, shape (N, rep_dim); others stay as they are.

        Its radius is measured in the same way.
        """
        center = choose_center(z)
        squared = (z - center).square().sum(dim=1)
        self.centers = torch.cat([self.centers, center[None]])
        self.radii = torch.cat([self.radii, self._radius(squared)[None]])

    def _squared(self, z: Tensor) -> Tensor:
        return torch.stack([(z - center).square().sum(dim=1) for center in self.centers], dim=1)

    def _places(self, normals: Batch) -> Tensor:
        z, labels = normals.x, normals.labels
        if labels is None:
            k = min(self.settings.n_centers, len(torch.unique(z, dim=0)))
            found = KMeans(k, n_init=4, random_state=0).fit(z.detach().cpu().double().numpy())
            labels = torch.from_numpy(found.labels_).to(z.device)
        weights = normals.weights
        return torch.stack(
            [
                choose_center(z[own], CENTER_MARGIN, None if weights is None else weights[own])
                for own in (labels == k for k in range(int(labels.max()) + 1))
            ]
        )

    def _drop_small(self, z: Tensor) -> None:
        members = torch.bincount(self._squared(z).argmin(dim=1), minlength=len(self.centers))
        kept = members >= self.settings.smallest * len(z) / len(self.centers)
        self.centers = self.centers[kept]

    def _measured_radii(self, normals: Batch) -> Tensor:
        squared = self._squared(normals.x)
        own = squared.argmin(dim=1) if normals.labels is None else normals.labels
        distances = squared.gather(1, own[:, None]).squeeze(1)
        common = self._radius(distances)
        radii = [
            self._radius(members) if len(members) >= FEW_MEMBERS else common
            for members in (distances[own == k] for k in range(len(self.centers)))
        ]
        return torch.stack(radii).clamp_min(SMALLEST_RADIUS * common)

    def _radius(self, squared: Tensor) -> Tensor:
        """Return the root of the (1 − ν) quantile, or a tiny number where all distances are 0."""
        kept = max(1, round((1 - self.settings.nu) * len(squared)))
        return (
            squared.kthvalue(kept).values.sqrt().clamp_min(torch.finfo(squared.dtype).tiny ** 0.5)
        )
