"""The training of Deep SVDD: pretraining, centre, one-class training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import torch
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from torch import Tensor, nn

from insphere.errors import CollapseError
from insphere.nets.build import build_encoder
from insphere.nets.draws import initial_weights
from insphere.nets.fold import folded
from insphere.nets.ranks import jointly
from insphere.nets.spec import EncoderSpec
from insphere.nets.sphere import Sphere
from insphere.preprocess.pipeline import StepSpec, to_batch
from insphere.training.batch import Batch, joined
from insphere.training.callbacks import Callback, Record
from insphere.training.device import Precision
from insphere.training.gradients import with_gradients
from insphere.training.guard import CollapseGuard
from insphere.training.heads.center import CenterSpec
from insphere.training.heads.combined import Combined
from insphere.training.heads.head import Head
from insphere.training.heads.parse import AnyHead
from insphere.training.images import TrainingImages
from insphere.training.labelled_anomalies import LabelledAnomalies
from insphere.training.loop import PhaseRun, mixed_seed, seeded
from insphere.training.objectives import Hypersphere
from insphere.training.pollution import Pollution
from insphere.training.pretraining.autoencoder import AutoencoderPretraining
from insphere.training.pretraining.held_out import held_out
from insphere.training.pretraining.parse import AnyPretraining
from insphere.training.pretraining.pretraining import Pretrained, pretrain
from insphere.training.recipe import Phase, Recipe
from insphere.training.regularizers import RegularizedSphere, Regularizers
from insphere.training.start import StageSpec, place
from insphere.training.training_set import TrainingSet, as_training_set

VIEWED_BATCH = 256


class SphereSpec(BaseModel):
    """All settings that determine how a Deep SVDD is trained, apart from the data and the seed.

    Parameters
    ----------
    encoder : EncoderSpec
        The network.
    preprocess : tuple of StepSpec
        Steps fitted on the normal training samples.
    recipe : Recipe
        Epochs and learning rates.
    objective : {"one-class", "soft-boundary"}
        The objective.
    nu : float
        ν of the soft-boundary objective.
    radius_update : {"epoch", "batch"}
        When the soft-boundary radius is updated.
    allow_collapse : bool
        Build and train networks that can collapse, even if they do.
    center : {"mean", "zero"}
        Position of the centre: at the mean of a first pass; or at the origin, to study a
        collapse.
    regularizers : Regularizers, optional
        Further terms of the loss. With a weight on the variance, networks that could collapse are
        built; the guard still checks them.
    pretraining : Pretraining
        How the encoder is pretrained, for the recipe's epochs of pretraining; a kind of
        `insphere.training.pretraining.table.PRETRAININGS`.
    head : HeadSpec
        The head, which encloses the representations; a kind of
        `insphere.training.heads.table.HEADS`.
    labelled : LabelledAnomalies, optional
        Losses of samples with labels: Deep SAD.
    pollution : Pollution, optional
        Losses for normal samples of which some are anomalous.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderSpec
    preprocess: tuple[StepSpec, ...]
    recipe: Recipe
    objective: Literal["one-class", "soft-boundary"] = "one-class"
    nu: float = Field(default=0.1, gt=0, le=1)
    radius_update: Literal["epoch", "batch"] = "epoch"
    allow_collapse: bool = False
    center: Literal["mean", "zero"] = "mean"
    regularizers: Regularizers | None = None
    pretraining: AnyPretraining = AutoencoderPretraining()
    head: AnyHead = CenterSpec()
    labelled: LabelledAnomalies | None = None
    pollution: Pollution | None = None

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.objective == "soft-boundary" and (self.labelled or self.pollution):
            what = "labelled anomalies" if self.labelled else "pollution"
            raise ValueError(
                f"{what} and the soft boundary do not go together: leave out the "
                "objective, or set it to one-class"
            )
        if self.head.views and (self.objective != "one-class" or self.labelled or self.pollution):
            raise ValueError(
                "this head looks at several views and is not trained: leave out soft-boundary, "
                "labelled anomalies and pollution, or take head=center"
            )
        return self

    @model_serializer(mode="wrap")
    def _only_options_in_use(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out options that are off, so that names of checkpoints do not change."""
        written: dict[str, Any] = write(self)
        off = {
            "center": "mean",
            "regularizers": None,
            "pretraining": AutoencoderPretraining(),
            "head": CenterSpec(),
            "labelled": None,
            "pollution": None,
        }
        return {k: v for k, v in written.items() if k not in off or getattr(self, k) != off[k]}

    @property
    def builds_anything(self) -> bool:
        """Whether networks that could collapse are built."""
        protected = self.regularizers is not None and self.regularizers.variance > 0
        return self.allow_collapse or protected

    @property
    def stage(self) -> StageSpec:
        """The settings of the pretraining; specs with the same ones share it."""
        return StageSpec(
            encoder=self.encoder,
            preprocess=self.preprocess,
            phase=self.recipe.pretrain,
            allow_collapse=self.builds_anything,
        )

    def build_head(self) -> Head:
        """Return the unfitted head, if it does not look at several views."""
        chosen = CenterSpec(place="zero") if self.center == "zero" else self.head
        return chosen.build(self.encoder.rep_dim)

    def build_networks(self, shape: tuple[int, ...]) -> tuple[nn.Module, Head]:
        """Build encoder and head for samples of `shape`, (C, H, W) or (F,), without training.

        Their weights are to be loaded.
        """
        encoder = build_encoder(self.encoder, shape, allow_collapse=self.builds_anything)
        if not self.head.views:
            return encoder, self.build_head()
        viewed = self.pretraining.view_encoder(encoder, self.encoder.rep_dim, shape, 0)
        return viewed, self.head.build_on(viewed)


@dataclass
class TrainedSphere:
    """The result of a training.

    Parameters
    ----------
    sphere : Sphere
        The model, in evaluation mode.
    history : list of dict
        A record for each epoch of both phases.
    guard : CollapseGuard
        The guard, with its measurements of the representations.
    remarks : list of str
        What the pretraining found on normal samples.
    scores : Tensor, shape (N,), optional
        Scores of the training samples as if they were new, if they are known already.
    """

    sphere: Sphere
    history: list[Record] = field(default_factory=list)
    guard: CollapseGuard = field(default_factory=CollapseGuard)
    remarks: list[str] = field(default_factory=list)
    scores: Tensor | None = None

    @property
    def findings(self) -> list[str]:
        """All that the guard and the pretraining found, in sentences."""
        return [*self.guard.summary(), *self.remarks]


@with_gradients
def train_sphere(
    samples: NDArray[Any] | TrainingSet,
    spec: SphereSpec,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainedSphere:
    """Train Deep SVDD on normal samples (Ruff et al. 2018).

    Parameters
    ----------
    samples : ndarray, shape (N, H, W, C) or (N, F), or TrainingSet
        Normal training samples: uint8 or float images, or a float table; optionally with labels,
        groups and weights.
    spec : SphereSpec
        Settings of the training.
    seed : int
        Seed of the initial weights, the order of the images and all other randomness.
    device : torch.device
        Device of the training.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the network. Tables are trained in float64 on the CPU.
    checkpoints : pathlib.Path, optional
        Folder for a checkpoint of each phase. An interrupted training continues from it. Trainings
        that differ only in their objective share one pretrained encoder.
    callbacks : sequence of Callback
        Objects that follow the training; see `insphere.training.callbacks`.
    """
    if spec.center == "zero" and not spec.allow_collapse:
        raise CollapseError(
            "With the centre at the origin, zero weights map every image onto it: use the mean of "
            "a first pass, or pass allow_collapse=True to see what happens."
        )
    start = pretrain(
        samples, spec.stage, spec.pretraining, seed=seed, device=device, precision=precision,
        checkpoints=checkpoints, callbacks=callbacks,
    )  # fmt: skip
    remarks = spec.pretraining.remarks(start) if start.history else []
    for remark in remarks:
        warnings.warn(remark, stacklevel=2)
    if spec.head.views:
        trained = enclosed_views(samples, start, spec, seed)
        trained.remarks = remarks
        return trained
    encoder, images, autocast = start.encoder, start.images, start.autocast
    objective = sphere_objective(start, spec, seed)
    history = start.history + PhaseRun(
        "train", objective, images, spec.recipe.train,
        seed=seed + 1, autocast=autocast, callbacks=callbacks,
        checkpoint=start.names.path("train", spec.model_dump(mode="json")),
    ).run()  # fmt: skip
    head = objective.head
    if head.fitted_again:
        after = representations(encoder, images, spec.recipe.train.batch_size, autocast)
        head.fit(after if spec.labelled is None else after.normals())
    sphere = Sphere(start.preprocessor, encoder, head).eval()
    return TrainedSphere(sphere, history, objective.guard, remarks)


def enclosed_views(
    samples: NDArray[Any] | TrainingSet, start: Pretrained, spec: SphereSpec, seed: int
) -> TrainedSphere:
    """Fit a head that looks at several views of each image to a pretrained encoder.

    Parameters
    ----------
    samples : ndarray, shape (N, H, W, C), or TrainingSet
        Raw images.
    start : Pretrained
        Network and images; without pretraining the classifiers of views are random.
    spec : SphereSpec
        Settings of the training.
    seed : int
        Seed of the batches of a first pass without pretraining.
    """
    size = spec.recipe.pretrain.batch_size
    viewed = start.viewed
    if viewed is None or spec.pretraining.changes_images:
        first_pass(start.encoder, start.images, size, seed, start.autocast)
    if viewed is None:
        viewed = spec.pretraining.view_encoder(
            start.encoder, spec.encoder.rep_dim, start.images.shape, seed
        )
        place(viewed, start.device, start.dtype)
    head = spec.head.build_on(viewed).to(start.device, start.dtype)
    sphere = Sphere(start.preprocessor, viewed, head).eval()
    rows = rows_of_views(sphere, as_training_set(samples).data, start.device, start.autocast)
    if isinstance(head, Combined):
        head.fit_and_calibrate(rows, held_out(len(rows)))
    else:
        head.fit(Batch(rows))
    guard = CollapseGuard(spec.allow_collapse)
    z = rows[:, : spec.encoder.rep_dim]
    with torch.no_grad():
        scores = head.as_if_new(rows)
    guard.begin(z, scores)
    guard.watch(z, scores)
    return TrainedSphere(sphere, start.history, guard, scores=scores.float().cpu())


@torch.no_grad()
def rows_of_views(
    sphere: Sphere, data: NDArray[Any], device: torch.device, autocast: torch.dtype | None
) -> Tensor:
    """Return what an encoder of views gives for raw images, batch by batch."""
    scorer, found = folded(sphere), []
    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        for start in range(0, len(data), VIEWED_BATCH):
            found.append(scorer.represent(to_batch(data[start : start + VIEWED_BATCH], device)))
    return torch.cat(found)


def sphere_objective(start: Pretrained, spec: SphereSpec, seed: int) -> Hypersphere:
    """Fit the head to a first pass, and return the objective with its guard.

    Parameters
    ----------
    start : Pretrained
        Network and images.
    spec : SphereSpec
        Settings of the training.
    seed : int
        Seed of the batches of the first pass.
    """
    train, n = spec.recipe.train, len(start.images)
    head, normals = placed_head(start, spec, seed)
    z = normals.x
    guard = CollapseGuard(spec.allow_collapse)
    with torch.no_grad():
        guard.begin(z, head(z))
    arguments: dict[str, Any] = {
        "kind": spec.objective,
        "nu": spec.nu,
        "radius_update": spec.radius_update,
        "radius_every": spec.recipe.radius_every,
        "radius_warm_up": min(spec.recipe.radius_warm_up, train.epochs_for(n) // 2),
        "labelled": spec.labelled,
        "pollution": spec.pollution,
    }
    if spec.regularizers is None:
        return Hypersphere(start.encoder, head, guard, **arguments)
    scale = float(z.var(dim=0).mean().sqrt())
    with initial_weights(mixed_seed(seed, 3)):
        return RegularizedSphere(
            start.encoder, head, guard, regularizers=spec.regularizers, scale=scale,
            rep_dim=z.shape[1], **arguments,
        )  # fmt: skip


def placed_head(start: Pretrained, spec: SphereSpec, seed: int) -> tuple[Head, Batch]:
    """Return the head, fitted to a first pass, and the representations of that pass."""
    size = spec.recipe.train.batch_size
    normals = first_pass(start.encoder, start.images, size, seed, start.autocast)
    normals = normals if spec.labelled is None else normals.normals()
    normals = normals.with_x(normals.x.to(start.dtype))
    with initial_weights(mixed_seed(seed, 4)):
        head = spec.build_head().to(start.device, start.dtype)
        head.fit(normals)
    return head, normals


def untrained_sphere(
    samples: NDArray[Any] | TrainingSet,
    spec: SphereSpec,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
) -> TrainedSphere:
    """Return the network with the same seed and a centre, but without training.

    It is a control: an untrained network often scores well already.
    """
    stage = spec.stage.model_copy(update={"phase": Phase(epochs=0)})
    start = pretrain(
        samples, stage, spec.pretraining, seed=seed, device=device, precision=precision
    )
    if spec.head.views:
        return enclosed_views(samples, start, spec, seed)
    head, _ = placed_head(start, spec, seed)
    return TrainedSphere(Sphere(start.preprocessor, start.encoder, head).eval())


def first_pass(
    encoder: nn.Module,
    images: TrainingImages,
    batch_size: int,
    seed: int,
    autocast: torch.dtype | None,
) -> Batch:
    """Return the representations of all images on the scale of the training.

    Returns
    -------
    Batch
        All samples, in the order of the pass; ``x`` are their representations.
    """
    return joined(list(first_batches(encoder, images, batch_size, seed, autocast)))


@torch.no_grad()
def first_batches(
    encoder: nn.Module,
    images: TrainingImages,
    batch_size: int,
    seed: int,
    autocast: torch.dtype | None,
) -> Iterator[Batch]:
    """Yield the representations of all images on the scale of the training, batch by batch.

    The pass is made in training mode with the batches of the training. Batch-norm statistics are
    reset and become the plain average over this pass, so that evaluation is on the same scale.
    Every pass with the same arguments gives the same.
    """
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momentum = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    encoder.train()
    device = next(encoder.parameters()).device
    with seeded(seed) as generator:
        for batch in images.batches(batch_size, generator):
            with torch.autocast(device.type, autocast, autocast is not None):
                represented = batch.with_x(jointly(encoder, batch.x))
            yield represented
    for norm, value in zip(norms, momentum, strict=True):
        norm.momentum = value


@torch.no_grad()
def representations(
    encoder: nn.Module, images: TrainingImages, batch_size: int, autocast: torch.dtype | None
) -> Batch:
    """Return the representations of all samples by a trained network, in the given order."""
    encoder.eval()
    weight = next(encoder.parameters())
    with torch.autocast(weight.device.type, autocast, autocast is not None):
        batches = images.batches(batch_size, None)
        return joined([batch.with_x(encoder(batch.x).to(weight.dtype)) for batch in batches])
