"""From training normals to a trained sphere: pretraining, centre, one-class training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from insphere.fingerprint import array_fingerprint
from insphere.nets.build import build_decoder, build_encoder
from insphere.nets.spec import EncoderSpec
from insphere.nets.sphere import Sphere
from insphere.preprocess.pipeline import Preprocessor, StepSpec
from insphere.training.callbacks import Callback, Record
from insphere.training.device import Precision, autocast_dtype
from insphere.training.guard import CollapseGuard
from insphere.training.images import TrainingImages
from insphere.training.loop import PhaseRun, seeded
from insphere.training.objectives import (
    Hypersphere,
    Reconstruction,
    choose_center,
    squared_distances,
)
from insphere.training.recipe import Recipe


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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderSpec
    preprocess: tuple[StepSpec, ...]
    recipe: Recipe
    objective: Literal["one-class", "soft-boundary"] = "one-class"
    nu: float = Field(default=0.1, gt=0, le=1)
    radius_update: Literal["epoch", "batch"] = "epoch"
    allow_collapse: bool = False


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
    shape = sample_shape(X)
    dtype = torch.float64 if X.dtype == np.float64 and device.type != "mps" else torch.float32
    preprocessor = Preprocessor(spec.preprocess, shape).to(device, dtype).fit(X)
    images = TrainingImages(X, preprocessor, device)
    autocast = autocast_dtype(precision, device) if dtype == torch.float32 else None
    encoder = _new_encoder(spec, shape, seed, device, dtype)
    names = _CheckpointNames(checkpoints, X, spec, seed, autocast)
    history: list[Record] = []

    if spec.recipe.pretrain.epochs:
        bounded = bool(spec.preprocess) and spec.preprocess[-1].step == "minmax"
        with seeded(seed, 1):
            decoder = build_decoder(spec.encoder, shape, bounded_output=bounded)
        decoder = _place(decoder, device, dtype)
        history += PhaseRun(
            "pretrain", Reconstruction(encoder, decoder), images, spec.recipe.pretrain,
            seed=seed, autocast=autocast, checkpoint=names.pretrain(), callbacks=callbacks,
        ).run()  # fmt: skip

    z = first_pass(encoder, images, spec.recipe.train.batch_size, seed, autocast).to(dtype)
    center = choose_center(z)
    guard = CollapseGuard(spec.allow_collapse)
    guard.begin(z, squared_distances(z, center))
    objective = Hypersphere(
        encoder, center, guard, kind=spec.objective, nu=spec.nu, radius_update=spec.radius_update,
        radius_every=spec.recipe.radius_every,
        radius_warm_up=min(spec.recipe.radius_warm_up, spec.recipe.train.epochs_for(len(X)) // 2),
    )  # fmt: skip
    history += PhaseRun(
        "train", objective, images, spec.recipe.train,
        seed=seed + 1, autocast=autocast, checkpoint=names.train(), callbacks=callbacks,
    ).run()  # fmt: skip
    return TrainedSphere(Sphere(preprocessor, encoder, objective.center).eval(), history, guard)


def untrained_sphere(
    X: NDArray[Any], spec: SphereSpec, *, seed: int, device: torch.device
) -> TrainedSphere:
    """Return the same network with the same seed and a centre, but without any training.

    An untrained network already scores well, so no result means much without this beside it.
    """
    shape = sample_shape(X)
    dtype = torch.float64 if X.dtype == np.float64 and device.type != "mps" else torch.float32
    preprocessor = Preprocessor(spec.preprocess, shape).to(device, dtype).fit(X)
    images = TrainingImages(X, preprocessor, device)
    encoder = _new_encoder(spec, shape, seed, device, dtype)
    z = first_pass(encoder, images, spec.recipe.train.batch_size, seed, None).to(dtype)
    encoder.eval()
    return TrainedSphere(Sphere(preprocessor, encoder, choose_center(z)).eval())


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


def sample_shape(X: NDArray[Any]) -> tuple[int, ...]:
    """Shape of one sample as networks see it: (C, H, W) of images N×H×W×C, or (F,)."""
    return (X.shape[3], X.shape[1], X.shape[2]) if X.ndim == 4 else (X.shape[1],)


def _new_encoder(
    spec: SphereSpec, shape: tuple[int, ...], seed: int, device: torch.device, dtype: torch.dtype
) -> nn.Module:
    with seeded(seed):
        encoder = build_encoder(spec.encoder, shape, allow_collapse=spec.allow_collapse)
    return _place(encoder, device, dtype)


def _place(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    has_convolutions = any(isinstance(m, nn.Conv2d) for m in network.modules())
    layout = torch.channels_last if has_convolutions else torch.preserve_format
    return network.to(device, dtype).to(memory_format=layout)


class _CheckpointNames:
    """Names a phase's checkpoint by a hash of everything that the phase depends on."""

    def __init__(
        self,
        folder: Path | None,
        X: NDArray[Any],
        spec: SphereSpec,
        seed: int,
        autocast: torch.dtype | None,
    ) -> None:
        self.folder = folder
        self.spec = spec.model_dump(mode="json")
        if folder is not None:
            self.common = {
                "data": array_fingerprint(X),
                "seed": seed,
                "autocast": str(autocast),
                "torch": torch.__version__,
            }

    def pretrain(self) -> Path | None:
        parts = {key: self.spec[key] for key in ("encoder", "preprocess", "allow_collapse")}
        return self._path("pretrain", parts | {"phase": self.spec["recipe"]["pretrain"]})

    def train(self) -> Path | None:
        return self._path("train", self.spec)

    def _path(self, phase: str, parts: dict[str, Any]) -> Path | None:
        if self.folder is None:
            return None
        text = json.dumps(self.common | {"parts": parts}, sort_keys=True)
        return self.folder / f"{phase}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"
