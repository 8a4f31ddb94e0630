"""Training of a head on patch features with the Deep SVDD objective."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from insphere.nets.build import build_encoder
from insphere.nets.draws import initial_weights
from insphere.nets.near_identity import NearIdentity
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
from insphere.training.loop import PhaseRun, mixed_seed, seeded
from insphere.training.objectives import Hypersphere
from insphere.training.recipe import Phase
from insphere.training.start import new_encoder, place

Unit = Literal["patch", "image", "both"]
WHITENED_EPS = 0.01  # as a share of the mean variance
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
        None standardises each feature separately, or whitens with `WHITENED_EPS` if `start` is
        "whitened".
    start : {"random", "whitened"}
        Where φ starts: at random weights; or at the whitened features themselves, where the score
        is a squared Mahalanobis distance, and it stays near them
        (`insphere.nets.near_identity.NearIdentity`, whose hidden layer has the first of the
        head's widths).
    centers : int
        Number of centres, of which the nearest counts; above 1 only if `start` is "whitened".
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
    start: Literal["random", "whitened"] = "random"
    centers: int = Field(default=1, ge=1)
    nu: float = Field(default=0.1, gt=0, le=1)
    allow_collapse: bool = False

    def preprocessor(self, width: int) -> Preprocessor:
        """Return the unfitted preprocessing for patches with a number of features."""
        whiten = self.whiten
        if whiten is None and self.start == "whitened":
            whiten = WHITENED_EPS
        if whiten is None:
            return Preprocessor((StandardizeSpec(scope="feature"),), (width,))
        return Preprocessor((ZCAWhiteningSpec(eps=whiten),), (width,))

    def rep_dim(self, width: int) -> int:
        """Return the number of values in a representation of patches with a number of features."""
        return width if self.start == "whitened" else self.head.rep_dim

    @model_validator(mode="after")
    def _centers_of_their_own(self) -> Self:
        if self.centers > 1 and self.start != "whitened":
            raise ValueError('several centers need start="whitened"')
        return self


class PatchRows:
    """Patch features of the training images, for the training loop.

    Parameters
    ----------
    features : ndarray of float16 or float32, shape (N, P, C)
        P patches of each image. In the place of those that are missing, NaN, others of the same
        image count again.
    device : torch.device
        Device of the batches.
    """

    def __init__(self, features: NDArray[np.floating[Any]], device: torch.device) -> None:
        self._features = without_gaps(features)
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


def without_gaps(features: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Put other patches of the same image, (N, P, C), in the place of those that are NaN."""
    missing = np.isnan(features[..., 0])
    if not missing.any():
        return features
    filled = np.array(features)
    for image, gaps in zip(filled, missing, strict=True):
        image[gaps] = np.resize(image[~gaps], (int(gaps.sum()), image.shape[1]))
    return filled


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

    by_many = False

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
    features: NDArray[np.floating[Any]],
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
    features : ndarray of float16 or float32, shape (N, P, C)
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
    if spec.start == "whitened":
        with initial_weights(mixed_seed(seed)):
            encoder: nn.Module = NearIdentity(width, spec.head.widths[0])
        encoder = place(encoder, device, torch.float32)
    else:
        encoder = new_encoder(spec.head, (width,), seed, device, torch.float32, spec.allow_collapse)
    autocast = autocast_dtype(precision, encoder)
    with torch.no_grad(), seeded(seed):
        z = encoder(preprocessor(torch.from_numpy(sample).to(device)))
    center = choose_center(z) if spec.start == "random" else _means(z, spec.centers, seed)
    guard = CollapseGuard(spec.allow_collapse, whitened=spec.start == "whitened")
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


def _means(z: Tensor, count: int, seed: int) -> Tensor:
    """Return the mean of representations, or the means of clusters; none is moved from zero."""
    if count == 1:
        return z.mean(dim=0)
    from sklearn.cluster import MiniBatchKMeans

    clusters = MiniBatchKMeans(min(count, len(z)), random_state=seed, n_init=3, batch_size=4096)
    means = clusters.fit(z.float().cpu().numpy()).cluster_centers_
    return torch.from_numpy(means).to(z.device, z.dtype)


def untrained_patches(width: int, spec: PatchSpec, centers: int = 1) -> PatchSphere:
    """Return an untrained module, into which weights and a number of centres can be loaded."""
    rep_dim = spec.rep_dim(width)
    shape = (rep_dim,) if centers == 1 else (centers, rep_dim)
    if spec.start == "whitened":
        encoder: nn.Module = NearIdentity(width, spec.head.widths[0])
    else:
        encoder = build_encoder(spec.head, (width,), allow_collapse=spec.allow_collapse)
    return PatchSphere(spec.preprocessor(width), encoder, torch.empty(shape))
