"""Telling how an image was turned and shifted: a pretraining that needs no labels."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn
from torch.nn import functional as F

from insphere.errors import SpecError
from insphere.nets.draws import current_draws
from insphere.nets.view_encoder import DOWN, PLACES, RIGHT, TURN, ViewEncoder, ViewPlan
from insphere.nets.views import BlurredPixels, mirrored, nearest_mean, shifted, turned
from insphere.preprocess.pipeline import to_batch
from insphere.training.batch import Batch, weighted_mean
from insphere.training.callbacks import Record
from insphere.training.objectives import Objective
from insphere.training.pretraining.held_out import held_out
from insphere.training.pretraining.pretraining import Pretrained
from insphere.training.pretraining.with_views import PretrainingWithViews
from insphere.training.recipe import SMALLEST_SIDE
from insphere.training.start import StageSpec, Start, place

SHIFT = 4  # a shift to be told is this part of the side
LOOKED_AT = 400  # images of which the mirror images are compared
MIRROR_IS_TOLD = 0.8
BARELY = 0.1  # of the way from chance to certainty
AT_ONCE = 0.98


class RotationPretraining(PretrainingWithViews):
    """The encoder tells by how many quarter turns each image was turned, and where it was shifted.

    Each image of a batch is turned, shifted by a quarter of its side up, down, left or right, and
    jittered by its own draw; small classifiers on the representation tell turn and shift (Gidaris
    et al. 2018; Hendrycks et al. 2019, whose heads these are). To tell them the encoder has to know
    what the objects look like. A tenth of the normal images is held out and measures how well that
    went.

    Parameters
    ----------
    mirror : {"auto", "ignored", "told"}
        What a mirror image is: as normal as the image, so that half of the views are mirrored at
        random; or something else, which is told as turns are, as in handwriting. "auto" compares
        distances of blurred pixels: "told" where those of mirror images to normal images are larger
        than those of normal images in 80 % of the pairs.
    shift : bool
        Whether shifts are told.
    jitter : int
        Pixels by which every view is shifted at random.
    turns : tuple of int or None
        Quarter turns that are told. None: all four, and two where images are not square.
    """

    kind: Literal["rotation"] = "rotation"
    mirror: Literal["auto", "ignored", "told"] = "auto"
    shift: bool = True
    jitter: NonNegativeInt = 2
    turns: tuple[Literal[0, 1, 2, 3], ...] | None = Field(default=None, min_length=2)

    def for_samples(self, X: NDArray[Any]) -> Self:
        """Return settings in which nothing is left to the samples, raw images N×H×W×C."""
        if X.ndim != 4:
            return self
        chosen: dict[str, Any] = {}
        if self.turns is None:
            chosen["turns"] = (0, 1, 2, 3) if X.shape[1] == X.shape[2] else (0, 2)
        if self.mirror == "auto":
            told = mirror_images_differ(X) >= MIRROR_IS_TOLD
            chosen["mirror"] = "told" if told else "ignored"
        return self.model_copy(update=chosen)

    def objective(self, start: Start, stage: StageSpec, seed: int) -> TellingViews:
        """Return the cross entropy of what is told of turned and shifted images."""
        viewed = self.view_encoder(start.encoder, stage.encoder.rep_dim, start.images.shape, seed)
        place(viewed, start.device, start.dtype)
        return TellingViews(viewed, self.jitter, self.mirror == "ignored")

    def plan(self, shape: tuple[int, ...]) -> ViewPlan:
        """Return the views of images (C, H, W) that are told apart."""
        self._check(shape)
        turns = self.turns or ((0, 1, 2, 3) if shape[1] == shape[2] else (0, 2))
        part = (shape[1] // SHIFT, shape[2] // SHIFT) if self.shift else (0, 0)
        return ViewPlan(turns, self.mirror == "told", part)

    def remarks(self, pretrained: Pretrained) -> list[str]:
        """Say which questions were too hard or too easy, measured on held-out normal images."""
        objective = pretrained.objective
        if not isinstance(objective, TellingViews):
            return []
        return remarks_on(objective.viewed, pretrained)

    def _check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3:
            raise SpecError("Only images can be turned: take pretraining=autoencoder for tables.")
        if min(shape[1:]) < SMALLEST_SIDE:
            raise SpecError(
                f"Images of {shape[1]}×{shape[2]} are too small to be shifted and told apart: take "
                "pretraining=autoencoder."
            )
        if shape[1] != shape[2] and self.turns is not None and any(t % 2 for t in self.turns):
            raise SpecError("Images that are not square can be turned by 0 or 2 quarters only.")


class TellingViews(Objective):
    """The cross entropy of turn and shift of randomly turned, shifted and mirrored images.

    Parameters
    ----------
    viewed : ViewEncoder
        The encoder with its classifiers.
    jitter : int
        Pixels by which every image is shifted at random.
    mirrors : bool
        Whether half of the images are mirrored at random, untold.
    """

    def __init__(self, viewed: ViewEncoder, jitter: int, mirrors: bool) -> None:
        super().__init__()
        self.viewed = viewed
        self.jitter = jitter
        self.mirrors = mirrors
        self._hits: dict[str, list[Tensor]] = {}

    @property
    def encoder(self) -> nn.Module:
        """φ(x; W)."""
        return self.viewed.encoder

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean over images of the sum of the cross entropies."""
        x, truth = self.draw(batch.x)
        losses = torch.zeros(len(x), device=x.device)
        for name, logits in self.viewed.logits(x).items():
            losses = losses + F.cross_entropy(logits.float(), truth[name], reduction="none")
            self._hits.setdefault(name, []).append(logits.detach().argmax(dim=1) == truth[name])
        return weighted_mean(losses, batch.weights)

    @torch.no_grad()
    def draw(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return a random view of each image N×C×H×W, and its class for each question."""
        plan, generator = self.viewed.plan, current_draws(x.device)

        def numbers(low: int, high: int) -> Tensor:
            return torch.randint(low, high, (len(x),), generator=generator, device=x.device)

        if self.mirrors:
            x = mirrored(x, numbers(0, 2) == 1)
        pose = numbers(0, len(plan.poses))
        if plan.mirrored:
            x = mirrored(x, pose >= len(plan.turns))
        truth, moves = {TURN: pose}, []
        for name, step in zip((DOWN, RIGHT), plan.shift, strict=True):
            move = numbers(-self.jitter, self.jitter + 1)
            if plan.shifted:
                truth[name] = numbers(0, PLACES)
                move = move + step * (truth[name] - 1)
            moves.append(move)
        if self.jitter or plan.shifted:
            x = shifted(x, *moves)
        turns = torch.tensor(plan.turns, device=x.device)[pose % len(plan.turns)]
        return turned(x, turns).contiguous(memory_format=torch.channels_last), truth

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Return the share of views that was told correctly, by question."""
        told = {f"{n}_told": float(torch.cat(h).double().mean()) for n, h in self._hits.items()}
        self._hits.clear()
        return told


def mirror_images_differ(X: NDArray[Any]) -> float:
    """Return how well distances to normal images tell mirror images from images, as an AUC.

    Parameters
    ----------
    X : ndarray, shape (N, H, W, C)
        Raw normal images. With fewer than four there is nothing to compare, and the result is 0.5.

    Returns
    -------
    float
        Share of pairs in which the mirror image is farther from the stored images: 0.5 where mirror
        images are as normal as images.
    """
    if len(X) < 4:
        return 0.5
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(len(X))).numpy()
    looked = order[: min(LOOKED_AT, len(X) // 2)]
    stored = order[len(looked) : len(looked) + 2000]
    pixels = BlurredPixels(centered=X.shape[3] > 1)
    cpu = torch.device("cpu")
    rows = torch.cat(
        [pixels(to_batch(X[stored[s : s + 256]], cpu)) for s in range(0, len(stored), 256)]
    )
    new = to_batch(X[looked], cpu)
    own, other = (nearest_mean(rows, pixels(x), 2) for x in (new, new.flip(3)))
    pairs = other[:, None] - own
    return float(((pairs > 0).double() + 0.5 * (pairs == 0).double()).mean())


def too_hard_or_easy(shares: dict[str, float], plan: ViewPlan, history: list[Record]) -> list[str]:
    """Return sentences on questions that are too hard or too easy to teach anything.

    Parameters
    ----------
    shares : dict of str to float
        Share of views of held-out normal images that was told correctly, by question.
    plan : ViewPlan
        The views.
    history : list of dict
        Records of the pretraining.
    """
    found = []
    early = history[len(history) // 10] if history else {}
    names = {TURN: "turn", DOWN: "shift down", RIGHT: "shift to the right"}
    for name, share in shares.items():
        chance = 1 / plan.classes[name]
        if share < chance + BARELY * (1 - chance):
            found.append(
                f"The {names[name]} of normal images can hardly be told ({share:.0%} correct, "
                f"{chance:.0%} by chance), so it teaches little; leave it out, or train longer."
            )
        elif early.get(f"{name}_told", 0) > AT_ONCE:
            found.append(
                f"The {names[name]} of normal images is told at once "
                f"({early[f'{name}_told']:.0%} in epoch {early['epoch']}), perhaps by the border "
                "alone, so it teaches little; crop the images, or leave it out."
            )
    return found


@torch.no_grad()
def told(viewed: ViewEncoder, x: Tensor) -> dict[str, float]:
    """Return the share of views of preprocessed images that is told correctly, by question."""
    viewed.eval()
    hits: dict[str, list[Tensor]] = {}
    for true, pose in enumerate(viewed.plan.poses):
        hits.setdefault(TURN, []).append(viewed.logits(pose(x))[TURN].argmax(dim=1) == true)
    for view, down, right in viewed.plan.shifts:
        logits = viewed.logits(view(x))
        hits.setdefault(DOWN, []).append(logits[DOWN].argmax(dim=1) == down)
        hits.setdefault(RIGHT, []).append(logits[RIGHT].argmax(dim=1) == right)
    return {name: float(torch.cat(found).double().mean()) for name, found in hits.items()}


def remarks_on(viewed: ViewEncoder, pretrained: Pretrained) -> list[str]:
    """Say which questions were too hard or too easy, measured on held-out normal images."""
    images = pretrained.images
    own = held_out(len(images))
    places = (own if bool(own.any()) else ~own).nonzero().squeeze(1)[:LOOKED_AT]
    dtype = pretrained.autocast
    with torch.autocast(pretrained.device.type, dtype, enabled=dtype is not None):
        shares = told(viewed, images.take(places).x)
    return too_hard_or_easy(shares, viewed.plan, pretrained.history)
