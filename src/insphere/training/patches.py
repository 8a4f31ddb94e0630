"""Training of a head on patch features with the Deep SVDD objective."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from insphere.nets.build import build_encoder
from insphere.nets.patches import PatchSphere
from insphere.nets.spec import EncoderSpec
from insphere.preprocess.pipeline import Preprocessor
from insphere.preprocess.scaling import StandardizeSpec
from insphere.preprocess.whitening import ZCAWhiteningSpec
from insphere.training.batch import Batch
from insphere.training.callbacks import Callback, Record
from insphere.training.checkpoint import CheckpointNames
from insphere.training.device import Precision, autocast_dtype
from insphere.training.gradients import with_gradients
from insphere.training.guard import CollapseGuard
from insphere.training.heads.center import Center, choose_center, squared_distances
from insphere.training.images import equal_batches
from insphere.training.loop import PhaseRun, seeded
from insphere.training.objectives import Hypersphere
from insphere.training.recipe import Phase
from insphere.training.start import new_encoder

Unit = Literal["patch", "image", "both"]
WATCHED = 100_000  # patches for scaling, centre and guard

DEFAULT_HEAD = EncoderSpec(kind="mlp", widths=(128,), rep_dim=64, norm="none")
DEFAULT_PHASE = Phase(epochs=10, lr=1e-3, schedule="one-cycle", batch_size=32, min_steps=250)


class PatchSpec(BaseModel):
    """All settings that determine how the head is trained, apart from the features and the seed.

    Parameters
    ----------
    head : EncoderSpec
        The network over each patch, of kind mlp.
    phase : Phase
        Epochs, learning rate, images in a step.
    unit : {"patch", "image", "both"}
        What is mapped to the centre: every patch, the mean representation of each image, or both.
    whiten : float or None
        Whiten the features before φ, with this ε of `insphere.preprocess.whitening.ZCAWhitening`;
        None standardises each feature separately.
    nu : float
        Share of the training images outside the recorded radius.
    allow_collapse : bool
        Build and train heads that can collapse, even if they do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: EncoderSpec = DEFAULT_HEAD
    phase: Phase = DEFAULT_PHASE
    unit: Unit = "patch"
    whiten: float | None = Field(default=None, gt=0)
    nu: float = Field(default=0.1, gt=0, le=1)
    allow_collapse: bool = False

    def preprocessor(self, width: int) -> Preprocessor:
        """Return the unfitted preprocessing for patches with a number of features."""
        if self.whiten is None:
            return Preprocessor((StandardizeSpec(scope="feature"),), (width,))
        return Preprocessor((ZCAWhiteningSpec(eps=self.whiten),), (width,))


class PatchRows:
    """Patch features of the training images, for the training loop.

    Parameters
    ----------
    features : ndarray of float16, shape (N, P, C)
        P patches of each image.
    device : torch.device
        Device of the batches.
    """

    def __init__(self, features: NDArray[np.float16], device: torch.device) -> None:
        self._features = features
        self._device = device

    def __len__(self) -> int:
        return len(self._features)

    def batches(self, batch_size: int, generator: torch.Generator | None) -> Iterator[Batch]:
        """One pass in equal batches of images, float32, shape (B, P, C)."""
        for index in equal_batches(len(self), batch_size, generator):
            yield Batch(torch.from_numpy(self._features[index.numpy()]).to(self._device).float())

    def sample(self, seed: int, most: int = WATCHED) -> NDArray[np.float32]:
        """Draw about `most` patches at most, the same number from each image."""
        n, patches, width = self._features.shape
        each = max(1, min(patches, most // n))
        selected = np.random.default_rng(seed).permuted(np.tile(np.arange(patches), (n, 1)), axis=1)
        rows = self._features[np.arange(n)[:, None], selected[:, :each]]
        flat: NDArray[np.float32] = rows.reshape(-1, width).astype(np.float32)
        return flat


class PatchHypersphere(Hypersphere):
    """The one-class objective over patches, over images, or their sum.

    Parameters
    ----------
    encoder, center, guard, nu
        As in `Hypersphere`.
    unit : {"patch", "image", "both"}
        Mean of ‖φ(p) − c‖² over all patches, of ‖mean φ(p) − c‖² over images, or both.
    watched : int
        Number of patches of each image for the guard.
    """

    def __init__(
        self,
        encoder: nn.Module,
        center: Tensor,
        guard: CollapseGuard,
        *,
        unit: Unit,
        nu: float,
        watched: int,
    ) -> None:
        super().__init__(encoder, Center(center), guard, nu=nu)
        self.unit = unit
        self.watched = watched

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of patches, shape (B, P, C)."""
        x = batch.x
        z = self.encoder(x.flatten(0, 1)).to(self.center.dtype).unflatten(0, x.shape[:2])
        image = z.mean(dim=1)
        seen = image if self.unit == "image" else z[:, : self.watched].flatten(0, 1)
        self._remember(batch.with_x(seen))
        loss = torch.zeros((), dtype=z.dtype, device=z.device)
        if self.unit != "image":
            loss = loss + squared_distances(z.flatten(0, 1), self.center).mean()
        if self.unit != "patch":
            loss = loss + squared_distances(image, self.center).mean()
        return loss


class _Scaled:
    """Scales batches of patches for the training loop."""

    def __init__(self, rows: PatchRows, preprocessor: Preprocessor) -> None:
        self._rows = rows
        self._preprocessor = preprocessor

    def __len__(self) -> int:
        return len(self._rows)

    def batches(self, batch_size: int, generator: torch.Generator | None) -> Iterator[Batch]:
        for batch in self._rows.batches(batch_size, generator):
            with torch.no_grad():
                # In a random order, so that the guard does not always get the same positions.
                x = batch.x
                order = torch.randperm(x.shape[1], generator=generator)
                rows = self._preprocessor(x[:, order.to(x.device)].flatten(0, 1))
                scaled: Tensor = rows.unflatten(0, x.shape[:2])
            yield Batch(scaled)


@dataclass
class TrainedPatches:
    """The result of the training: the module, a record for each epoch, and the guard."""

    sphere: PatchSphere
    history: list[Record]
    guard: CollapseGuard


@with_gradients
def train_patches(
    features: NDArray[np.float16],
    spec: PatchSpec,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainedPatches:
    """Train a head on the patch features of normal images.

    Parameters
    ----------
    features : ndarray of float16, shape (N, P, C)
        P patches of each training image.
    spec : PatchSpec
        Settings of the training.
    seed : int
        Seed of the initial weights, the order and all other randomness.
    device : torch.device
        Device of the training.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the head.
    checkpoints : pathlib.Path, optional
        Folder for a checkpoint after each epoch.
    callbacks : sequence of Callback
        Objects that follow the training; see `insphere.training.callbacks`.
    """
    width = features.shape[2]
    rows = PatchRows(features, device)
    sample = rows.sample(seed)
    preprocessor = spec.preprocessor(width).to(device).fit(sample)
    encoder = new_encoder(spec.head, (width,), seed, device, torch.float32, spec.allow_collapse)
    autocast = autocast_dtype(precision, encoder)
    with torch.no_grad(), seeded(seed):
        z = encoder(preprocessor(torch.from_numpy(sample).to(device)))
    center = choose_center(z)
    guard = CollapseGuard(spec.allow_collapse)
    guard.begin(z, squared_distances(z, center))
    objective = PatchHypersphere(
        encoder, center, guard, unit=spec.unit, nu=spec.nu,
        watched=max(1, min(features.shape[1], WATCHED // len(features))),
    )  # fmt: skip
    names = CheckpointNames(checkpoints, features, seed, autocast)
    history = PhaseRun(
        "train", objective, _Scaled(rows, preprocessor), spec.phase,
        seed=seed + 1, autocast=autocast, callbacks=callbacks,
        checkpoint=names.path("train", spec.model_dump(mode="json")),
    ).run()  # fmt: skip
    return TrainedPatches(
        PatchSphere(preprocessor, encoder, objective.center).eval(), history, guard
    )


def untrained_patches(width: int, spec: PatchSpec) -> PatchSphere:
    """Return an untrained module, into which weights can be loaded."""
    encoder = build_encoder(spec.head, (width,), allow_collapse=spec.allow_collapse)
    return PatchSphere(spec.preprocessor(width), encoder, torch.empty(spec.head.rep_dim))
