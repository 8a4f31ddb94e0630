"""VICReg: views become alike while every dimension keeps varying by itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from insphere.training.batch import weighted_mean
from insphere.training.pretraining.two_views import Compared, TwoViewsPretraining
from insphere.training.regularizers import covariance_loss, variance_loss
from insphere.training.start import StageSpec, Start, place

EPS = 1e-4


class VICRegPretraining(TwoViewsPretraining):
    """Two views of an image become alike, and dimensions vary without covarying.

    Variance, invariance and covariance (Bardes, Ponce and LeCun 2022, equations 1 to 6), without
    negatives and without a second network.

    Parameters
    ----------
    views, hidden, projection
        As in `TwoViewsPretraining`.
    invariance, variance, covariance : float
        Weights of the three terms, λ, μ and ν.
    """

    kind: Literal["vicreg"] = "vicreg"
    projection: int = Field(default=256, gt=1)
    invariance: float = Field(default=25.0, ge=0)
    variance: float = Field(default=25.0, ge=0)
    covariance: float = Field(default=1.0, ge=0)

    def objective(self, start: Start, stage: StageSpec, seed: int) -> Decorrelated:
        """Return the three terms of projected views."""
        viewed, behind = self.networks(start, stage, seed)
        objective = Decorrelated(
            viewed, self.views, stage.allow_collapse, projector=behind,
            weights=(self.invariance, self.variance, self.covariance),
        )  # fmt: skip
        place(objective, start.device, start.dtype)
        return objective


class Decorrelated(Compared):
    """The objective of VICReg.

    Parameters
    ----------
    *args
        As in `Compared`.
    projector : torch.nn.Module
        The network behind the encoder.
    weights : tuple of float
        λ, μ and ν.
    """

    def __init__(
        self, *args: Any, projector: nn.Module, weights: tuple[float, float, float]
    ) -> None:
        super().__init__(*args)
        self.projector = projector
        self.weights = weights

    def loss(self, one: Tensor, other: Tensor, weights: Tensor | None) -> Tensor:
        """Return the weighted sum of the three terms."""
        z, again = (self.projector(self.represented(x)).float() for x in (one, other))
        return vicreg_loss(z, again, self.weights, weights)


def vicreg_loss(
    z: Tensor,
    other: Tensor,
    terms: tuple[float, float, float] = (25.0, 25.0, 1.0),
    weights: Tensor | None = None,
) -> Tensor:
    """Return λ s(Z, Z′) + μ (v(Z) + v(Z′)) + ν (c(Z) + c(Z′)).

    s is the mean squared difference of a dimension, as in the released code; the paper's equation 5
    has the sum over dimensions. v and c are equations 1 and 4.

    Parameters
    ----------
    z, other : Tensor, shape (N, d)
        Projections of two views of each image; N ≥ 2.
    terms : tuple of float
        λ, μ and ν.
    weights : Tensor, shape (N,), optional
        Weights of the images, for s.
    """
    invariance = weighted_mean((z - other).square().mean(dim=1), weights)
    variance = variance_loss(z, EPS) + variance_loss(other, EPS)
    covariance = covariance_loss(z) + covariance_loss(other)
    return terms[0] * invariance + terms[1] * variance + terms[2] * covariance
