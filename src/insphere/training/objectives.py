"""What is minimised: reconstruction error while pretraining, then the Deep SVDD objectives."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from insphere.training.guard import CollapseGuard

CENTER_MARGIN = 0.1


class Objective(nn.Module):
    """A module whose forward pass gives the mean loss of a batch.

    Attributes
    ----------
    finished : bool
        Set by `end_epoch` to end the phase before its last epoch.
    """

    finished = False

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Finish an epoch (counted from 0) and return what to record of it beside the loss."""
        return {}

    def notes(self) -> dict[str, Any]:
        """Return what a checkpoint keeps beside parameters and buffers, as JSON."""
        return {}

    def restore_notes(self, notes: dict[str, Any]) -> None:
        """Take up where a checkpoint left off."""


class Reconstruction(Objective):
    """Squared reconstruction error of an autoencoder, summed over each image.

    Parameters
    ----------
    encoder, decoder : torch.nn.Module
        The two halves.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        restored: Tensor = self.decoder(self.encoder(x)).to(x.dtype)
        return (restored - x).square().flatten(1).sum(dim=1).mean()


class Hypersphere(Objective):
    """The objectives of Deep SVDD (Ruff et al. 2018, equations 3 and 4).

    One-class: the mean of d² = ‖φ(x) − c‖². Soft-boundary: R² + mean(max(0, d² − R²)) / ν.

    Parameters
    ----------
    encoder : torch.nn.Module
        φ(x; W).
    center : Tensor, shape (rep_dim,)
        c, fixed.
    guard : CollapseGuard
        Watches the representations of every epoch.
    kind : {"one-class", "soft-boundary"}
        Which objective.
    nu : float
        ν: upper bound on the share outside, lower bound on the share on or outside the sphere.
    radius_update : {"epoch", "batch"}
        R becomes the (1 − ν) quantile of all training distances every `radius_every` epochs, or
        of each batch.
    radius_every, radius_warm_up : int
        Epochs between updates, and before the first one.
    """

    center: Tensor
    radius: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        center: Tensor,
        guard: CollapseGuard,
        *,
        kind: Literal["one-class", "soft-boundary"] = "one-class",
        nu: float = 0.1,
        radius_update: Literal["epoch", "batch"] = "epoch",
        radius_every: int = 5,
        radius_warm_up: int = 10,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.guard = guard
        self.kind = kind
        self.nu = nu
        self.radius_update = radius_update
        self.radius_every = radius_every
        self.radius_warm_up = radius_warm_up
        self.register_buffer("center", center)
        self.register_buffer("radius", torch.zeros((), dtype=center.dtype, device=center.device))
        self._seen: list[Tensor] = []
        self._warm = radius_warm_up == 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the loss of a batch and remember its representations until the epoch ends."""
        z = self.encoder(x).to(self.center.dtype)
        self._seen.append(z.detach())
        return self.loss(z)

    def loss(self, z: Tensor) -> Tensor:
        """Return the loss of a batch of representations."""
        distances = squared_distances(z, self.center)
        if self.kind == "one-class":
            return distances.mean()
        if self.radius_update == "batch" and self._warm:
            self.radius.copy_(radius_quantile(distances.detach(), self.nu))
        return soft_boundary_loss(distances, self.radius, self.nu)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Update the radius from the distances that this epoch's steps saw; watch for collapse.

        Since these distances come from the steps themselves, they are on the scale on which
        training runs (batch norm with batch statistics) and cost no extra pass.
        """
        z = torch.cat(self._seen)
        self._seen.clear()
        distances = squared_distances(z, self.center)
        self._warm = epoch + 1 >= self.radius_warm_up
        due = (epoch + 1 - self.radius_warm_up) % self.radius_every == 0
        if self.kind == "one-class" or (self.radius_update == "epoch" and self._warm and due):
            self.radius.copy_(radius_quantile(distances, self.nu))
        outside = (distances > self.radius.square()).double().mean()
        return {
            "radius": float(self.radius),
            "outside": float(outside),
            **self.guard.watch(z, distances),
        }

    def notes(self) -> dict[str, Any]:
        """Keep what the guard has seen."""
        guard = self.guard
        return {"start": guard.start, "findings": guard.findings, "last": guard.last}

    def restore_notes(self, notes: dict[str, Any]) -> None:
        """Give the guard its memory back."""
        self.guard.start = notes["start"]
        self.guard.findings = notes["findings"]
        self.guard.last = notes["last"]


def squared_distances(z: Tensor, center: Tensor) -> Tensor:
    """‖z − c‖² of each row, shape (N,)."""
    return (z - center).square().sum(dim=1)


def soft_boundary_loss(distances: Tensor, radius: Tensor, nu: float) -> Tensor:
    """R² + mean(max(0, d² − R²)) / ν (Ruff et al. 2018, equation 3, without weight decay)."""
    return radius.square() + (distances - radius.square()).clamp_min(0).mean() / nu


def radius_quantile(distances: Tensor, nu: float) -> Tensor:
    """Return R such that a share ν of the squared distances lies outside: the root of a quantile.

    For fixed W this R minimises the soft-boundary objective.
    """
    kept = max(1, round((1 - nu) * len(distances)))
    return distances.kthvalue(kept).values.sqrt()


def choose_center(z: Tensor, margin: float = CENTER_MARGIN) -> Tensor:
    """Mean of the representations, with every component at least `margin` away from zero.

    A component near zero could be matched by zero weights (Ruff et al. 2018, proposition 1), so it
    is moved to ±`margin`; an exact zero goes to +`margin`.

    Parameters
    ----------
    z : Tensor, shape (N, rep_dim)
        Representations of a first pass over the training normals.
    margin : float
        Smallest magnitude of a component.
    """
    center = z.mean(dim=0)
    sign = torch.where(center < 0, -1.0, 1.0).to(center.dtype)
    return torch.where(center.abs() < margin, sign * margin, center)
