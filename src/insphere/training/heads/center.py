"""One centre: the sphere of Deep SVDD."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from insphere.nets.patches import squared_distances
from insphere.training.batch import Batch
from insphere.training.heads.head import Head, HeadSpec

__all__ = ["Center", "CenterSpec", "choose_center", "squared_distances"]

CENTER_MARGIN = 0.1


class CenterSpec(HeadSpec):
    """Settings of `Center`.

    Parameters
    ----------
    place : {"mean", "zero"}
        At the mean of a first pass; or at the origin, to study a collapse.
    """

    kind: Literal["center"] = "center"
    place: Literal["mean", "zero"] = "mean"

    def build(self, rep_dim: int) -> Center:
        """Return a centre at the origin; `Center.fit` moves it."""
        return Center(torch.zeros(rep_dim), self.place)


class Center(Head):
    """Squared distances to one fixed centre (Ruff et al. 2018).

    Parameters
    ----------
    center : Tensor, shape (rep_dim,)
        The centre c.
    place : {"mean", "zero"}
        Position after `fit`; see `CenterSpec`.
    """

    center: Tensor

    def __init__(self, center: Tensor, place: Literal["mean", "zero"] = "mean") -> None:
        super().__init__()
        self.place = place
        self.register_buffer("center", center)

    def fit(self, normals: Batch) -> None:
        """Move the centre to the weighted mean, away from zero; see `choose_center`."""
        z = normals.x
        if self.place == "zero":
            self.center = torch.zeros_like(z[0])
        else:
            self.center = choose_center(z, weights=normals.weights)

    def forward(self, z: Tensor) -> Tensor:
        """Return ‖z − c‖² of each row."""
        return squared_distances(z, self.center)


def choose_center(
    z: Tensor, margin: float = CENTER_MARGIN, weights: Tensor | None = None
) -> Tensor:
    """Mean of the representations, with every component away from zero; see `away_from_zero`.

    Parameters
    ----------
    z : Tensor, shape (N, rep_dim)
        Representations of a first pass over the training normals.
    margin : float
        Smallest magnitude of a component.
    weights : Tensor, shape (N,), optional
        Weights of the samples.
    """
    if weights is None:
        center = z.mean(dim=0)
    else:
        shares = (weights / weights.sum()).to(z.dtype)
        center = shares @ z
    return away_from_zero(center, margin)


def away_from_zero(center: Tensor, margin: float = CENTER_MARGIN) -> Tensor:
    """Return a centre with every component at least `margin` away from zero.

    A component near zero could be matched by zero weights (Ruff et al. 2018, proposition 1), so it
    is moved to ±`margin`; an exact zero goes to +`margin`.
    """
    sign = torch.where(center < 0, -1.0, 1.0).to(center.dtype)
    return torch.where(center.abs() < margin, sign * margin, center)
