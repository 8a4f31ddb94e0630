"""From training normals to a trained sphere: pretraining, centre, one-class training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from torch import Tensor, nn

from insphere.errors import CollapseError
from insphere.nets.spec import EncoderSpec
from insphere.nets.sphere import Sphere
from insphere.preprocess.pipeline import StepSpec
from insphere.training.autoencoder import (
    AutoencoderSpec,
    Pretrained,
    pretrain_autoencoder,
    sample_dtype,
)
from insphere.training.callbacks import Callback, Record
from insphere.training.device import Precision
from insphere.training.guard import CollapseGuard
from insphere.training.images import TrainingImages
from insphere.training.loop import PhaseRun, seeded
from insphere.training.objectives import Hypersphere, choose_center, squared_distances
from insphere.training.recipe import Phase, Recipe
from insphere.training.regularizers import RegularizedSphere, Regularizers


class SphereSpec(BaseModel):
    """Everything that decides how a Deep SVDD is trained, apart from the data and the seed.

    Parameters
    ----------
    encoder : EncoderSpec
        The network.
    preprocess : tuple of StepSpec
        Steps fitted on the training normals.
    recipe : Recipe
        Epochs and learning rates.
    objective : {"one-class", "soft-boundary"}
        What is minimised.
    nu : float
        ν of the soft-boundary objective.
    radius_update : {"epoch", "batch"}
        When the soft-boundary radius is updated.
    allow_collapse : bool
        Build and train networks that can, or do, collapse.
    center : {"mean", "zero"}
        Where the sphere lies: at the mean of the first pass, or, to see it collapse, at the
        origin.
    regularizers : Regularizers, optional
        What else is minimised. With a weight on the variance, networks that could collapse are
        built; the guard watches them all the same.
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

    @model_serializer(mode="wrap")
    def _only_options_in_use(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out options that are off, so that they change no checkpoint's name."""
        written: dict[str, Any] = write(self)
        off = {"center": "mean", "regularizers": None}
        return {k: v for k, v in written.items() if k not in off or getattr(self, k) != off[k]}

    @property
    def builds_anything(self) -> bool:
        """Whether networks that could collapse are built."""
        protected = self.regularizers is not None and self.regularizers.variance > 0
        return self.allow_collapse or protected

    @property
    def autoencoder(self) -> AutoencoderSpec:
        """What decides the pretraining, so that objectives which differ elsewhere share it."""
        return AutoencoderSpec(
            encoder=self.encoder,
            preprocess=self.preprocess,
            phase=self.recipe.pretrain,
            allow_collapse=self.builds_anything,
        )


@dataclass
class TrainedSphere:
    """What training gives.

    Parameters
    ----------
    sphere : Sphere
        The model, in evaluation mode.
    history : list of dict
        A record for each epoch of both phases.
    guard : CollapseGuard
        What was seen of the representations.
    """

    sphere: Sphere
    history: list[Record] = field(default_factory=list)
    guard: CollapseGuard = field(default_factory=CollapseGuard)


def train_sphere(
    X: NDArray[Any],
    spec: SphereSpec,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainedSphere:
    """Train Deep SVDD on normals (Ruff et al. 2018).

    Parameters
    ----------
    X : ndarray, shape (N, H, W, C) or (N, F)
        Training normals: uint8 or float images, or a float table.
    spec : SphereSpec
        How to train.
    seed : int
        Decides initial weights, order of the images and everything else that is random.
    device : torch.device
        Where to train.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the network. Tables are trained in float64 on the CPU.
    checkpoints : pathlib.Path, optional
        Folder for a checkpoint of each phase, named by what the phase depends on: an interrupted
        run continues, and runs that differ only in their objective share one pretrained encoder.
    callbacks : sequence of Callback
        Followers of the progress.
    """
    if spec.center == "zero" and not spec.allow_collapse:
        raise CollapseError(
            "With the centre at the origin, zero weights map every image onto it: use the mean of "
            "a first pass, or pass allow_collapse=True to see what happens."
        )
    start = pretrain_autoencoder(
        X, spec.autoencoder, seed=seed, device=device, precision=precision,
        checkpoints=checkpoints, callbacks=callbacks,
    )  # fmt: skip
    encoder, images, autocast = start.encoder, start.images, start.autocast
    objective = sphere_objective(start, spec, seed)
    history = start.history + PhaseRun(
        "train", objective, images, spec.recipe.train,
        seed=seed + 1, autocast=autocast, callbacks=callbacks,
        checkpoint=start.names.path("train", spec.model_dump(mode="json")),
    ).run()  # fmt: skip
    sphere = Sphere(start.preprocessor, encoder, objective.center).eval()
    return TrainedSphere(sphere, history, objective.guard)


def sphere_objective(start: Pretrained, spec: SphereSpec, seed: int) -> Hypersphere:
    """Place the centre by a first pass and return the objective, with its guard.

    Parameters
    ----------
    start : Pretrained
        Network and images.
    spec : SphereSpec
        How to train.
    seed : int
        Decides the batches of the first pass.
    """
    train, n = spec.recipe.train, len(start.images)
    z = first_pass(start.encoder, start.images, train.batch_size, seed, start.autocast)
    z = z.to(next(start.encoder.parameters()).dtype)
    center = choose_center(z) if spec.center == "mean" else torch.zeros_like(z[0])
    guard = CollapseGuard(spec.allow_collapse)
    guard.begin(z, squared_distances(z, center))
    arguments: dict[str, Any] = {
        "kind": spec.objective,
        "nu": spec.nu,
        "radius_update": spec.radius_update,
        "radius_every": spec.recipe.radius_every,
        "radius_warm_up": min(spec.recipe.radius_warm_up, train.epochs_for(n) // 2),
    }
    if spec.regularizers is None:
        return Hypersphere(start.encoder, center, guard, **arguments)
    scale = float(z.var(dim=0).mean().sqrt())
    with seeded(seed, 3):
        return RegularizedSphere(
            start.encoder, center, guard, regularizers=spec.regularizers, scale=scale, **arguments
        )


def untrained_sphere(
    X: NDArray[Any],
    spec: SphereSpec,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
) -> TrainedSphere:
    """Return the same network with the same seed and a centre, but without any training.

    An untrained network already scores well, so no result means much without this beside it.
    """
    untrained = spec.autoencoder.model_copy(update={"phase": Phase(epochs=0)})
    start = pretrain_autoencoder(X, untrained, seed=seed, device=device, precision=precision)
    z = first_pass(start.encoder, start.images, spec.recipe.train.batch_size, seed, start.autocast)
    center = choose_center(z.to(sample_dtype(X, device)))
    return TrainedSphere(Sphere(start.preprocessor, start.encoder, center).eval())


@torch.no_grad()
def first_pass(
    encoder: nn.Module,
    images: TrainingImages,
    batch_size: int,
    seed: int,
    autocast: torch.dtype | None,
) -> Tensor:
    """Return the representations of all images on the scale on which training runs.

    The pass is made in training mode, with the batches that training uses; batch-norm statistics
    restart and become the plain average over it, so that evaluation is on that scale too.
    """
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momentum = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    encoder.train()
    device = next(encoder.parameters()).device
    with seeded(seed) as generator, torch.autocast(device.type, autocast, autocast is not None):
        z = torch.cat([encoder(batch) for batch in images.batches(batch_size, generator)])
    for norm, value in zip(norms, momentum, strict=True):
        norm.momentum = value
    return z
