"""BYOL: a network predicts what its own moving average makes of another view."""

from __future__ import annotations

import copy
import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from insphere.nets.draws import initial_weights
from insphere.nets.projector import projector
from insphere.training.batch import weighted_mean
from insphere.training.loop import mixed_seed
from insphere.training.pretraining.two_views import Compared, TwoViewsPretraining
from insphere.training.start import StageSpec, Start, place


class BYOLPretraining(TwoViewsPretraining):
    """The representation of one view predicts that of another by a slow copy of the network.

    Bootstrap your own latent (Grill et al. 2020): encoder, projector and predictor are trained; the
    slow copy of encoder and projector is their moving average. There are no negatives.

    Parameters
    ----------
    views, hidden, projection
        As in `TwoViewsPretraining`.
    momentum : float
        τ at the start, the part of the slow copy that stays in a step. It rises to 1 along a
        cosine. The paper has 0.996 for a million steps; there are a thousand here.
    """

    kind: Literal["byol"] = "byol"
    momentum: float = Field(default=0.97, ge=0, le=1)

    def objective(self, start: Start, stage: StageSpec, seed: int) -> Bootstrapped:
        """Return the error of the prediction."""
        width = stage.encoder.rep_dim
        viewed = self.view_encoder(start.encoder, width, start.images.shape, seed)
        with initial_weights(mixed_seed(seed, 2)):
            behind = projector(width, self.hidden, self.projection)
            predictor = projector(self.projection, self.hidden, self.projection)
        n, phase = len(self.samples(start)), stage.phase
        objective = Bootstrapped(
            viewed, self.views, stage.allow_collapse, projector=behind, predictor=predictor,
            momentum=self.momentum, steps=phase.epochs_for(n) * phase.steps_per_epoch(n),
        )  # fmt: skip
        place(objective, start.device, start.dtype)
        return objective


class Bootstrapped(Compared):
    """The objective of BYOL.

    Parameters
    ----------
    *args
        As in `Compared`.
    projector, predictor : torch.nn.Module
        The networks behind the encoder, one behind the other.
    momentum : float
        τ at the start.
    steps : int
        Steps until τ is 1.
    """

    step: Tensor

    def __init__(
        self,
        *args: Any,
        projector: nn.Module,
        predictor: nn.Module,
        momentum: float,
        steps: int,
    ) -> None:
        super().__init__(*args)
        self.projector = projector
        self.predictor = predictor
        self.slow = copy.deepcopy(self._fast()).requires_grad_(False)
        self.momentum = momentum
        self.steps = steps
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def loss(self, one: Tensor, other: Tensor, weights: Tensor | None) -> Tensor:
        """Return the error of predicting each view from the other, after the slow copy moved."""
        if self.training:
            self.follow()
        with torch.no_grad():
            targets = [self.slow(x).float() for x in (other, one)]
        found = [self.predictor(self.projector(self.represented(x))).float() for x in (one, other)]
        losses = [bootstrap_loss(p, target) for p, target in zip(found, targets, strict=True)]
        return weighted_mean(losses[0] + losses[1], weights)

    @torch.no_grad()
    def follow(self) -> None:
        """Move the slow copy towards what the last step made of the network."""
        step = int(self.step)
        if step:  # before the first step the two are equal
            stays = rising(self.momentum, step - 1, self.steps)
            fast = self._fast().parameters()
            for slow, new in zip(self.slow.parameters(), fast, strict=True):
                slow.lerp_(new, 1 - stays)
        self.step += 1

    def _fast(self) -> nn.Sequential:
        return nn.Sequential(self.encoder, self.projector)


def bootstrap_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return ‖p/‖p‖ − t/‖t‖‖² = 2 − 2 cos of each row, (N,) (Grill et al. 2020, equation 2)."""
    return 2 - 2 * F.cosine_similarity(predicted, target, dim=1)


def rising(momentum: float, step: int, steps: int) -> float:
    """Return τ of a step: 1 − (1 − τ₀)(cos(πk/K) + 1)/2."""
    return 1 - (1 - momentum) * (math.cos(math.pi * min(step / max(steps, 1), 1)) + 1) / 2
