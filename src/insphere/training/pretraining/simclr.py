"""SimCLR: two views of an image find each other among the views of all others."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from insphere.nets.draws import current_draws
from insphere.nets.view_encoder import TURN, ViewPlan
from insphere.nets.views import mirrored, turned
from insphere.training.batch import Batch, weighted_mean
from insphere.training.contrastive import similarities
from insphere.training.pretraining.pretraining import Pretrained
from insphere.training.pretraining.rotation import remarks_on
from insphere.training.pretraining.two_views import Compared, TwoViewsPretraining
from insphere.training.start import StageSpec, Start, place


class SimCLRPretraining(TwoViewsPretraining):
    """Two views of an image are alike, and views of different images are not (Chen et al. 2020).

    With shifted instances, turned images count as different ones, so that what is drawn near to a
    normal image does not come to lie on it: turns by a draw for each image (Sohn et al. 2021), or
    all turns of each image in one batch (CSI, Tack et al. 2020). A classifier of the turns is then
    trained as well, and heads look at all turned views.

    Parameters
    ----------
    views, hidden, projection
        As in `TwoViewsPretraining`. Where mirror images are told, they are shifted instances too.
    temperature : float
        τ of the contrast.
    shifted : {"drawn", "all", "none"}
        The shifted instances. "all" takes as many times the memory and time as there are turns.
    classified : float
        Weight of the cross entropy of the turns.
    """

    kind: Literal["simclr"] = "simclr"
    temperature: PositiveFloat = 0.5
    shifted: Literal["drawn", "all", "none"] = "drawn"
    classified: float = Field(default=1.0, ge=0)

    def plan(self, shape: tuple[int, ...]) -> ViewPlan:
        """Return the turned views of images (C, H, W); the image as it is without turns."""
        plan = super().plan(shape)
        if self.shifted == "none":
            return plan
        turns = (0, 1, 2, 3) if shape[1] == shape[2] else (0, 2)
        return ViewPlan(turns, mirrored=self.views.mirror == "told")

    def objective(self, start: Start, stage: StageSpec, seed: int) -> Contrasted:
        """Return the contrast of projected views."""
        viewed, behind = self.networks(start, stage, seed)
        objective = Contrasted(
            viewed, self.views, stage.allow_collapse, projector=behind,
            temperature=self.temperature, every=self.shifted == "all", classified=self.classified,
        )  # fmt: skip
        place(objective, start.device, start.dtype)
        return objective

    def remarks(self, pretrained: Pretrained) -> list[str]:
        """Say whether turns were too hard or too easy to tell, measured on held-out images."""
        objective = pretrained.objective
        if not isinstance(objective, Contrasted) or not objective.tells:
            return []
        return remarks_on(objective.viewed, pretrained)


class Contrasted(Compared):
    """The normalised, temperature-scaled cross entropy of SimCLR, and of turns where they count.

    Parameters
    ----------
    *args
        As in `Compared`.
    projector : torch.nn.Module
        The network behind the encoder.
    temperature : float
        τ.
    every : bool
        Whether a batch holds all poses of each image, or one that is drawn.
    classified : float
        Weight of the cross entropy of the poses.
    """

    def __init__(
        self,
        *args: Any,
        projector: nn.Module,
        temperature: float,
        every: bool = False,
        classified: float = 1.0,
    ) -> None:
        super().__init__(*args)
        self.projector = projector
        self.temperature = temperature
        self.every = every
        self.classified = classified
        self._hits: dict[str, list[Tensor]] = {}

    @property
    def tells(self) -> bool:
        """Whether poses are told apart."""
        return self.classified > 0 and len(self.viewed.plan.poses) > 1

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of two views of each instance."""
        x, poses = self.instances(batch.x)
        times = len(x) // len(batch.x)
        weights = None if batch.weights is None else batch.weights.repeat(times)
        one, other = self.views.draw(x), self.views.draw(x)
        return self._loss(torch.cat([one, other]), poses, weights)

    def loss(self, one: Tensor, other: Tensor, weights: Tensor | None) -> Tensor:
        """Return the loss of views of images that are not turned."""
        upright = torch.zeros(len(one), dtype=torch.int64, device=one.device)
        return self._loss(torch.cat([one, other]), upright, weights)

    @torch.no_grad()
    def instances(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images in the poses in which each is an instance, and their poses."""
        plan = self.viewed.plan
        count = len(plan.poses)
        if count == 1:
            return x, torch.zeros(len(x), dtype=torch.int64, device=x.device)
        if self.every:
            poses = torch.arange(count, device=x.device).repeat_interleave(len(x))
            return torch.cat([pose(x) for pose in plan.poses]), poses
        draws = current_draws(x.device)
        poses = torch.randint(0, count, (len(x),), generator=draws, device=x.device)
        if plan.mirrored:
            x = mirrored(x, poses >= len(plan.turns))
        turns = torch.tensor(plan.turns, device=x.device)[poses % len(plan.turns)]
        return turned(x, turns), poses

    def _loss(self, x: Tensor, poses: Tensor, weights: Tensor | None) -> Tensor:
        z = self.represented(x.contiguous(memory_format=torch.channels_last))
        logits, other = similarities(self.projector(z).float(), self.temperature)
        both = None if weights is None else weights.repeat(2)
        total = weighted_mean(F.cross_entropy(logits, other, reduction="none"), both)
        self._note("pair_told", logits.argmax(dim=1) == other)
        if not self.tells:
            return total
        with torch.autocast(z.device.type, enabled=False):
            answers = self.viewed.classifiers[TURN](z.float())
        truth = poses.repeat(2)
        self._note("turn_told", answers.argmax(dim=1) == truth)
        turns = F.cross_entropy(answers, truth, reduction="none")
        return total + self.classified * weighted_mean(turns, both)

    def _note(self, name: str, hits: Tensor) -> None:
        self._hits.setdefault(name, []).append(hits.detach())

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Return the share of views that found their pair, and of turns that were told."""
        shares = {name: float(torch.cat(h).double().mean()) for name, h in self._hits.items()}
        self._hits.clear()
        return shares | super().end_epoch(epoch)
