"""Regularisers that prevent a collapse, so that bias terms are allowed; not in the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from insphere.nets.draws import current_draws
from insphere.training.batch import Batch
from insphere.training.objectives import Hypersphere


class Regularizers(BaseModel):
    """Weights of terms that are added to the loss of a batch.

    Variances and covariances are measured in units of γ, so that the same weights suit networks of
    any scale.

    Parameters
    ----------
    variance : float
        Weight of max(0, γ − standard deviation), averaged over dimensions: each must vary within
        a batch (Bardes, Ponce and LeCun 2022, "VICReg").
    covariance : float
        Weight of the squared covariances of different dimensions, divided by their number (the
        same).
    spread : float
        γ, as a share of the root mean variance of a dimension in the first pass.
    noise : float
        Weight of the cross-entropy of a linear head that is to predict labels drawn at random for
        each batch (noise injection, in the manner of Chong et al. 2020, "Simple and effective
        prevention of mode collapse in deep one-class classification").
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    variance: float = Field(default=0.0, ge=0)
    covariance: float = Field(default=0.0, ge=0)
    spread: float = Field(default=1.0, gt=0)
    noise: float = Field(default=0.0, ge=0)


class RegularizedSphere(Hypersphere):
    """The objectives of Deep SVDD with regularisers of the representations.

    Parameters
    ----------
    regularizers : Regularizers
        Weights of the samples.
    scale : float
        Root mean variance of a dimension in the first pass.
    rep_dim : int
        Length of a representation.
    *args, **kwargs
        As in `Hypersphere`.
    """

    def __init__(
        self,
        *args: Any,
        regularizers: Regularizers,
        scale: float,
        rep_dim: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.regularizers = regularizers
        self.target = regularizers.spread * scale
        self.noise = nn.Linear(rep_dim, 2).to(self.radius)

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of representations."""
        z = batch.x
        weights, total = self.regularizers, super().loss(batch)
        scaled = z / self.target
        if weights.variance:
            total = total + weights.variance * variance_loss(scaled)
        if weights.covariance:
            total = total + weights.covariance * covariance_loss(scaled)
        if weights.noise:
            labels = torch.randint(
                0, 2, (len(z),), generator=current_draws(torch.device("cpu"))
            ).to(z.device)
            total = total + weights.noise * F.cross_entropy(self.noise(z), labels)
        return total

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename the layer that predicts noise, which had the name of the head before."""
        old = {f"head.{name}": f"noise.{name}" for name in ("weight", "bias")}
        return super().renamed({old.get(name, name): one for name, one in state.items()})


def variance_loss(z: Tensor, eps: float = 1e-8) -> Tensor:
    """Return the mean over dimensions of max(0, 1 − standard deviation)."""
    deviation = (z.var(dim=0, correction=1) + eps).sqrt()
    return (1 - deviation).clamp_min(0).mean()


def covariance_loss(z: Tensor) -> Tensor:
    """Return the squared covariances of different dimensions, summed, over their number."""
    centered = z - z.mean(dim=0)
    covariance = centered.T @ centered / (len(z) - 1)
    different = covariance.square().sum() - covariance.diagonal().square().sum()
    return different / z.shape[1]
