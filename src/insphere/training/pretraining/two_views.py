"""What the forms of pretraining share that compare two views of each image."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from insphere.errors import SpecError
from insphere.nets.draws import initial_weights
from insphere.nets.projector import projector
from insphere.nets.view_encoder import ViewEncoder, ViewPlan
from insphere.training.batch import Batch
from insphere.training.guard import CollapseGuard
from insphere.training.loop import mixed_seed
from insphere.training.objectives import Objective
from insphere.training.pretraining.random_views import RandomViews
from insphere.training.pretraining.with_views import PretrainingWithViews
from insphere.training.start import StageSpec, Start


class TwoViewsPretraining(PretrainingWithViews):
    """Settings of a pretraining that compares two random views of each image.

    Parameters
    ----------
    views : RandomViews
        What may change from view to view.
    hidden, projection : int
        Widths of the projector, a small network behind the encoder that the loss is computed
        behind, and that is left out afterwards.
    """

    changes_images: ClassVar[bool] = True

    views: RandomViews = Field(default_factory=RandomViews)
    hidden: PositiveInt = 256
    projection: PositiveInt = 128

    def for_samples(self, X: NDArray[Any]) -> Self:
        """Return settings in which nothing is left to the samples, raw images N×H×W×C."""
        if X.ndim != 4:
            return self
        return self.model_copy(update={"views": self.views.for_samples(X)})

    def plan(self, shape: tuple[int, ...]) -> ViewPlan:
        """Return the views of images (C, H, W) that a head looks at: the image as it is."""
        if len(shape) != 3:
            raise SpecError(
                "Only images have such views: take pretraining=autoencoder for anything else."
            )
        return ViewPlan(turns=(0,))

    def networks(self, start: Start, stage: StageSpec, seed: int) -> tuple[ViewEncoder, nn.Module]:
        """Return the encoder of views, and an untrained projector behind it."""
        width = stage.encoder.rep_dim
        viewed = self.view_encoder(start.encoder, width, start.images.shape, seed)
        with initial_weights(mixed_seed(seed, 2)):
            return viewed, projector(width, self.hidden, self.projection)

    @abstractmethod
    def objective(self, start: Start, stage: StageSpec, seed: int) -> Compared:
        """Return the objective; it trains ``start.encoder`` in place."""


class Compared(Objective):
    """An objective of two views; it watches the representations for a collapse.

    Parameters
    ----------
    viewed : ViewEncoder
        The encoder, with what a head looks at.
    views : RandomViews
        The views, with all settings chosen.
    allow_collapse : bool
        Do not stop when all images have one representation.
    """

    def __init__(self, viewed: ViewEncoder, views: RandomViews, allow_collapse: bool) -> None:
        super().__init__()
        self.viewed = viewed
        self.views = views
        self.guard = CollapseGuard(allow_collapse)
        self._seen: list[Tensor] = []

    @property
    def encoder(self) -> nn.Module:
        """φ(x; W)."""
        return self.viewed.encoder

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of two views of each image."""
        return self.loss(self.views.draw(batch.x), self.views.draw(batch.x), batch.weights)

    @abstractmethod
    def loss(self, one: Tensor, other: Tensor, weights: Tensor | None) -> Tensor:
        """Return the loss of the views, N×C×H×W each, with a weight for each image or none."""

    def represented(self, x: Tensor) -> Tensor:
        """Return representations, and keep them until the end of the epoch."""
        z: Tensor = self.encoder(x)
        self._seen.append(z.detach().float())
        return z

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Look for a collapse, and return what was measured."""
        z = torch.cat(self._seen)
        self._seen.clear()
        distances = (z - z.mean(dim=0)).square().sum(dim=1)
        if not self.guard.start:
            self.guard.begin(z, distances)
        return self.guard.watch(z, distances)

    def notes(self) -> dict[str, Any]:
        """Return the state of the guard."""
        return self.guard.notes()

    def restore_notes(self, notes: dict[str, Any]) -> None:
        """Restore the state of the guard."""
        self.guard.restore(notes)
