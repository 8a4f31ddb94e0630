"""The base class of objectives, and the objectives of Deep SVDD."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from insphere.nets.ranks import jointly
from insphere.training.batch import Batch, joined, weighted_mean
from insphere.training.guard import CollapseGuard
from insphere.training.heads.head import Head
from insphere.training.labelled_anomalies import LabelledAnomalies
from insphere.training.pollution import Pollution


class Objective(nn.Module):
    """A module whose forward pass returns the mean loss of a `Batch`.

    Attributes
    ----------
    finished : bool
        Set by `end_epoch` to end the phase before its last epoch.
    by_many : bool
        Whether several processes can compute it together; see `insphere.nets.ranks`.
    """

    finished = False
    by_many = False

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Finish an epoch (counted from 0), and return values for its record besides the loss."""
        return {}

    def notes(self) -> dict[str, Any]:
        """Return the state besides parameters and buffers for a checkpoint, as JSON."""
        return {}

    def restore_notes(self, notes: dict[str, Any]) -> None:
        """Restore the notes of a checkpoint."""

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of a checkpoint, perhaps of an earlier version, by today's names."""
        return dict(state)


class Hypersphere(Objective):
    """The objectives of Deep SVDD (Ruff et al. 2018, equations 3 and 4), for any head.

    One-class: the mean of d². Soft-boundary: R² + mean(max(0, d² − R²)) / ν. The head computes
    d²: with one centre this is ‖φ(x) − c‖². Means are weighted if the samples have weights.

    Parameters
    ----------
    encoder : torch.nn.Module
        φ(x; W).
    head : Head
        The fitted head.
    guard : CollapseGuard
        Watches the representations of every epoch.
    kind : {"one-class", "soft-boundary"}
        The objective.
    nu : float
        ν: upper bound on the share outside, lower bound on the share on or outside the sphere.
    radius_update : {"epoch", "batch"}
        R becomes the (1 − ν) quantile of all training distances every `radius_every` epochs, or
        of each batch.
    radius_every, radius_warm_up : int
        Epochs between updates, and before the first one.
    labelled : LabelledAnomalies, optional
        Losses of samples with labels; those with labels below 0 are anomalous. Radius and guard
        use the others alone.
    pollution : Pollution, optional
        Losses of normal samples of which some are anomalous.
    """

    radius: Tensor
    by_many = True

    def __init__(
        self,
        encoder: nn.Module,
        head: Head,
        guard: CollapseGuard,
        *,
        kind: Literal["one-class", "soft-boundary"] = "one-class",
        nu: float = 0.1,
        radius_update: Literal["epoch", "batch"] = "epoch",
        radius_every: int = 5,
        radius_warm_up: int = 10,
        labelled: LabelledAnomalies | None = None,
        pollution: Pollution | None = None,
    ) -> None:
        super().__init__()
        self.labelled = labelled
        self.pollution = pollution
        self.encoder = encoder
        self.head = head
        self.guard = guard
        self.kind = kind
        self.nu = nu
        self.radius_update = radius_update
        self.radius_every = radius_every
        self.radius_warm_up = radius_warm_up
        device = next(itertools.chain(head.buffers(), head.parameters())).device
        self.register_buffer("radius", torch.zeros((), dtype=head.dtype, device=device))
        self._seen: list[Batch] = []
        self._warm = radius_warm_up == 0

    @property
    def center(self) -> Tensor:
        """The centre c of a head with one centre."""
        return self.head.get_buffer("center")

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of a batch, and keep its representations until the end of the epoch."""
        represented = batch.with_x(jointly(self._represented, batch.x))
        self._remember(represented)
        return self.loss(represented)

    def _represented(self, x: Tensor) -> Tensor:
        represented: Tensor = self.encoder(x).to(self.head.dtype)
        return represented

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of representations."""
        return self.head.loss(batch, lambda distances: self._reduced(distances, batch))

    def _reduced(self, distances: Tensor, batch: Batch) -> Tensor:
        """Return the objective as a function of squared distances."""
        weights = batch.weights
        if self.labelled is not None and batch.labels is not None:
            return weighted_mean(self.labelled.losses(distances, batch.labels), weights)
        if self.pollution is not None:
            return weighted_mean(self.pollution.losses(distances), weights)
        if self.kind == "one-class":
            return weighted_mean(distances, weights)
        if self.radius_update == "batch" and self._warm:
            self.radius.copy_(radius_quantile(distances.detach(), self.nu, weights))
        return soft_boundary_loss(distances, self.radius, self.nu, weights)

    def _remember(self, batch: Batch) -> None:
        seen = batch.with_x(batch.x.detach())
        self._seen.append(seen if self.labelled is None else seen.normals())

    def _recall(self) -> Batch:
        """Return the representations of the epoch, and clear them."""
        seen = joined(self._seen)
        self._seen.clear()
        return seen

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Update the radius from the distances of the steps of this epoch, and check for collapse.

        These distances are on the scale of the training (batch norm with batch statistics) and
        need no extra pass.
        """
        seen = self._recall()
        with torch.no_grad():
            measured = self.head.end_epoch(seen)
            distances = self.head(seen.x)
            trained = self._trained_distances(seen, distances)
        self._warm = epoch + 1 >= self.radius_warm_up
        due = (epoch + 1 - self.radius_warm_up) % self.radius_every == 0
        if self.kind == "one-class" or (self.radius_update == "epoch" and self._warm and due):
            self.radius.copy_(radius_quantile(trained, self.nu, seen.weights))
        outside = weighted_mean((trained > self.radius.square()).double(), seen.weights)
        return {
            "radius": float(self.radius),
            "outside": float(outside),
            **measured,
            **self.guard.watch(seen.x, distances),
        }

    def _trained_distances(self, seen: Batch, scores: Tensor) -> Tensor:
        """Return the distances that the soft boundary is trained with.

        Heads such as an ellipsoid score with another distance than they are trained with.
        """
        if self.kind == "one-class":
            return scores
        found: list[Tensor] = []

        def noted(distances: Tensor) -> Tensor:
            found.append(distances)
            return distances.mean()

        self.head.loss(seen, noted)
        return found[0]

    def notes(self) -> dict[str, Any]:
        """Return the state of the guard."""
        return self.guard.notes()

    def restore_notes(self, notes: dict[str, Any]) -> None:
        """Restore the state of the guard."""
        self.guard.restore(notes)

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename the centre of checkpoints from before it was part of a head."""
        return {"head.center" if name == "center" else name: one for name, one in state.items()}


def soft_boundary_loss(
    distances: Tensor, radius: Tensor, nu: float, weights: Tensor | None = None
) -> Tensor:
    """R² + mean(max(0, d² − R²)) / ν (Ruff et al. 2018, equation 3, without weight decay)."""
    excess = (distances - radius.square()).clamp_min(0)
    return radius.square() + weighted_mean(excess, weights) / nu


def radius_quantile(distances: Tensor, nu: float, weights: Tensor | None = None) -> Tensor:
    """Return R such that a share ν of the squared distances lies outside: the root of a quantile.

    For fixed W this R minimises the soft-boundary objective.

    Parameters
    ----------
    distances : Tensor, shape (N,)
        Squared distances.
    nu : float
        ν, in (0, 1].
    weights : Tensor, shape (N,), optional
        Weights of the samples.
    """
    if weights is None:
        kept = max(1, round((1 - nu) * len(distances)))
        return distances.kthvalue(kept).values.sqrt()
    ascending, order = distances.sort()
    inside = weights[order].double().cumsum(dim=0)
    wanted = (1 - nu) * inside[-1]
    place = torch.searchsorted(inside, wanted * (1 - 1e-9))
    return ascending[place.clamp_max(len(distances) - 1)].sqrt()
