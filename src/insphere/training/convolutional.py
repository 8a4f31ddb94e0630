"""Training of a sphere at every position of the feature map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insphere.errors import CollapseError, SpecError
from insphere.nets.collapse_check import collapse_paths
from insphere.nets.convolutional_sphere import (
    ConvolutionalHead,
    ConvolutionalSphere,
    pseudo_huber,
)
from insphere.nets.draws import initial_weights
from insphere.nets.spec import EncoderSpec
from insphere.training.batch import Batch
from insphere.training.callbacks import Callback, Record
from insphere.training.deep_svdd import SphereSpec, first_batches
from insphere.training.device import Precision
from insphere.training.gradients import with_gradients
from insphere.training.guard import CollapseGuard
from insphere.training.heads.center import Center, away_from_zero
from insphere.training.labelled_places import anomalous_images, place_losses
from insphere.training.loop import PhaseRun, mixed_seed
from insphere.training.moments import Moments, wide
from insphere.training.objectives import Hypersphere
from insphere.training.pretraining.pretraining import pretrain
from insphere.training.start import place
from insphere.training.training_set import TrainingSet


class PlaceObjective(Hypersphere):
    """The mean pseudo-Huber distance over all positions and images.

    Liznerski et al. (2021), "Explainable deep one-class classification". Images with labels have
    the losses of `insphere.training.labelled_places`. The guard treats each position of a normal
    image like an image. The representations of all positions of an epoch would take thousands of
    bytes an image, so that only their moments and distances are kept.

    Parameters
    ----------
    encoder : torch.nn.Module
        From images to representations of positions, N×D×u×v.
    center : Tensor, shape (D, u, v)
        The centre of each position.
    guard : CollapseGuard
        Watches the representations of every epoch.
    nu : float
        Share of the training images outside the recorded radius.
    """

    def __init__(
        self, encoder: nn.Module, center: Tensor, guard: CollapseGuard, *, nu: float
    ) -> None:
        super().__init__(encoder, Center(center), guard, nu=nu)
        self._places = Places()

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of representations."""
        places = pseudo_huber((batch.x - self.center).square().sum(dim=1))
        if batch.labels is None:
            return places.mean()
        return place_losses(places, batch.labels).mean()

    def _remember(self, batch: Batch) -> None:
        self._places.add(normal_images(batch).x.detach(), self.center)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Record radius and share outside over all positions, and check for collapse."""
        places, self._places = self._places, Places()
        distances = places.distances
        kept = max(1, round((1 - self.nu) * len(distances)))
        self.radius.copy_(distances.kthvalue(kept).values.sqrt())
        outside = (distances > self.radius.square()).double().mean()
        watched = self.guard.watch(places.moments, distances)
        return {"radius": float(self.radius), "outside": float(outside), **watched}


class Places:
    """What is kept of the representations of all positions of many images.

    Attributes
    ----------
    moments : Moments
        Mean and covariance of the representations.
    """

    def __init__(self) -> None:
        self.moments = Moments()
        self._distances: list[Tensor] = []

    def add(self, z: Tensor, center: Tensor) -> None:
        """Add the representations of images, N×D×u×v, with the centre of each position."""
        self.moments.add(z.movedim(1, -1).flatten(0, 2))
        self._distances.append((z - center).square().sum(dim=1).flatten())

    @property
    def distances(self) -> Tensor:
        """The squared distance of each position of each image."""
        return torch.cat(self._distances)


def normal_images(batch: Batch) -> Batch:
    """Return the images without an anomaly."""
    if batch.labels is None:
        return batch
    kept = ~anomalous_images(batch.labels)
    others = [None if values is None else values[kept] for values in batch[1:]]
    return Batch(batch.x[kept], *others)


def mean_of(batches: Iterable[Tensor]) -> Tensor:
    """Return the mean of the rows of all batches, which are not kept."""
    total, count, like = torch.zeros(()), 0, torch.zeros(())
    for like in batches:
        total = total.to(like.device) + wide(like).sum(dim=0)
        count += len(like)
    return (total / count).to(like.dtype)


@with_gradients
def train_places(
    samples: NDArray[Any] | TrainingSet,
    spec: SphereSpec,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[ConvolutionalSphere, list[Record], CollapseGuard]:
    """Pretrain an autoencoder, keep the convolutions of its encoder, and train on.

    Parameters
    ----------
    samples : ndarray, shape (N, H, W, C), or TrainingSet
        Training images, uint8 or float: normal ones, and labelled anomalies if there are any.
    spec : SphereSpec
        Settings of the training.
    seed, device, precision, checkpoints, callbacks
        As in `insphere.training.deep_svdd.train_sphere`.

    Returns
    -------
    sphere, history, guard
        The model in evaluation mode, a record for each epoch, and the guard.
    """
    start = pretrain(
        samples, spec.stage, spec.pretraining, seed=seed, device=device, precision=precision,
        checkpoints=checkpoints, callbacks=callbacks,
    )  # fmt: skip
    with initial_weights(mixed_seed(seed, 2)):
        head = convolutional_head(start.encoder, spec.encoder, spec.allow_collapse)
    place(head, device, start.dtype)

    def first() -> Iterator[Tensor]:
        size = spec.recipe.train.batch_size
        for batch in first_batches(head, start.images, size, seed, start.autocast):
            yield normal_images(batch).x

    center, places = away_from_zero(mean_of(first())), Places()
    for z in first():
        places.add(z, center)
    guard = CollapseGuard(spec.allow_collapse)
    guard.begin(places.moments, places.distances)
    objective = PlaceObjective(head, center, guard, nu=spec.nu)
    parts = {"kind": "places", **spec.model_dump(mode="json")}
    history = start.history + PhaseRun(
        "train", objective, start.images, spec.recipe.train,
        seed=seed + 1, autocast=start.autocast, callbacks=callbacks,
        checkpoint=start.names.path("train", parts),
    ).run()  # fmt: skip
    sphere = ConvolutionalSphere(start.preprocessor, head, objective.center).eval()
    return sphere, history, guard


def convolutional_head(
    encoder: nn.Module, spec: EncoderSpec, allow_collapse: bool = False
) -> ConvolutionalHead:
    """Return the stages of a LeNet-type encoder with a new 1×1 convolution after them.

    Raises
    ------
    SpecError
        If the encoder has no such stages.
    CollapseError
        If a constant can be learned and `allow_collapse` is false.
    """
    if spec.kind != "lenet":
        raise SpecError(
            f"A fully convolutional sphere takes encoders of kind lenet, not {spec.kind}."
        )
    if spec.attention == "self":
        raise SpecError(
            "Self-attention mixes all positions, so there would be no heat map; leave it out."
        )
    stages = nn.Sequential(encoder.input_norm, encoder.stages)  # type: ignore[arg-type]
    head = ConvolutionalHead(stages, spec.widths[-1], spec.rep_dim)
    findings = collapse_paths(head)
    if findings and not allow_collapse:
        raise CollapseError(
            "This network can map every place onto its centre: "
            + "; ".join(findings)
            + ". Change the spec, or pass allow_collapse=True to see it happen."
        )
    return head
