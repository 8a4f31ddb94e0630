"""Training of a discriminator of patches on normal, damaged and noisy features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator
from torch import Tensor

from insphere.nets.discriminator import DiscriminatorNet
from insphere.nets.draws import initial_weights
from insphere.training.batch import Batch
from insphere.training.callbacks import Callback, Record
from insphere.training.checkpoint import CheckpointNames
from insphere.training.damage import DamageKinds, Strengths
from insphere.training.device import Precision, autocast_dtype
from insphere.training.gradients import with_gradients
from insphere.training.guard import CollapseGuard
from insphere.training.loop import PhaseRun, mixed_seed, seeded
from insphere.training.objectives import Objective
from insphere.training.recipe import Phase
from insphere.training.start import place

Rows = NDArray[np.floating[Any]]
FITTED = 100_000  # normal patches to which the whitening is fitted, at most
WATCHED = 32  # the guard keeps the representations of one patch in so many


class DiscriminatorSpec(BaseModel):
    """All settings of the training, apart from the features and the seed.

    Parameters
    ----------
    kinds : tuple of str
        Kinds of synthetic anomalies; see `insphere.synthetic_anomalies.KINDS`.
    strengths : (float, float)
        Least and greatest strength, above 0 and at most 1.
    copies : int
        Damaged copies of each image.
    places : int
        Patches that are taken from each image, damaged and normal ones each, at most.
    off : float
        Share of the anomalous half of a batch that is normal patches with noise.
    noise : (float, float)
        Least and greatest standard deviation of this noise, in those of the whitened features.
    jitter : float
        Greatest standard deviation of noise on all patches, which changes no label.
    widths : tuple of int
        Widths of the hidden layers.
    dropout : float
        Share of the hidden values that are set to zero while training.
    whiten : float
        ε of the whitening, as a share of the mean variance.
    phase : Phase
        Epochs and learning rate.
    allow_collapse : bool
        Do not stop when all patches get the same representation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: DamageKinds
    strengths: Strengths = (0.15, 1.0)
    copies: PositiveInt = 3
    places: PositiveInt = 100
    off: float = Field(default=0.5, ge=0, le=1)
    noise: tuple[float, float] = (0.3, 1.5)
    jitter: float = Field(default=0.3, ge=0)
    widths: tuple[PositiveInt, ...] = (256, 64)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    whiten: float = Field(default=0.01, gt=0)
    phase: Phase
    allow_collapse: bool = False

    @field_validator("noise")
    @classmethod
    def _noise(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= pair[0] <= pair[1]:
            raise ValueError("noise is two numbers from 0 on, the lesser first")
        return pair


class LabelledPatches:
    """Normal and anomalous patches for the training loop, half of each batch each.

    Parameters
    ----------
    rows : ndarray of float16 or float32, shape (M, C)
        Patches.
    damaged : ndarray of bool, shape (M,)
        Which of them are damaged.
    network : DiscriminatorNet
        Whitens them.
    spec : DiscriminatorSpec
        How much noise there is.
    device : torch.device
        Device of the batches.
    """

    def __init__(
        self,
        rows: Rows,
        damaged: NDArray[np.bool_],
        network: DiscriminatorNet,
        spec: DiscriminatorSpec,
        device: torch.device,
    ) -> None:
        self._rows = rows
        self._normal, self._damaged = np.flatnonzero(~damaged), np.flatnonzero(damaged)
        self._network = network
        self._spec = spec
        self._device = device

    def __len__(self) -> int:
        return len(self._rows)

    def batches(self, batch_size: int, generator: torch.Generator | None) -> Iterator[Batch]:
        """As many patches as there are, drawn with replacement; labels are 1 for anomalous."""
        seed = 0
        if generator is not None:
            seed = int(torch.randint(2**62, (), generator=generator))
        rng = np.random.default_rng(seed)
        count = math.ceil(len(self) / batch_size)
        for size in np.diff(np.linspace(0, len(self), count + 1).round().astype(int)):
            yield self._batch(int(size), rng)

    def _batch(self, size: int, rng: np.random.Generator) -> Batch:
        half = size // 2
        noisy = half if not len(self._damaged) else round(self._spec.off * half)
        chosen = np.concatenate(
            [
                rng.choice(self._damaged, half - noisy) if half > noisy else self._damaged[:0],
                rng.choice(self._normal, size - (half - noisy)),
            ]
        )
        with torch.no_grad():
            x = self._network.whitened(torch.from_numpy(self._rows[chosen]).to(self._device))
            drawn = torch.Generator().manual_seed(int(rng.integers(2**62)))
            least, most = self._spec.noise
            amount = self._spec.jitter * torch.rand(size, 1, generator=drawn)
            changed = slice(half - noisy, half)
            amount[changed] = least + (most - least) * torch.rand(noisy, 1, generator=drawn)
            x = x + (amount * torch.randn(x.shape, generator=drawn)).to(x)
        labels = torch.zeros(size, device=self._device)
        labels[:half] = 1
        return Batch(x, labels=labels)


class PatchEntropy(Objective):
    """The mean binary cross-entropy of patches.

    Parameters
    ----------
    network : DiscriminatorNet
        The network.
    guard : CollapseGuard
        Watches hidden values, and the odds as distances.
    """

    def __init__(self, network: DiscriminatorNet, guard: CollapseGuard) -> None:
        super().__init__()
        self.network = network
        self.guard = guard
        self._seen: list[tuple[Tensor, Tensor]] = []
        self._right = self._all = 0

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch of whitened patches with labels 0 or 1."""
        assert batch.labels is not None
        hidden, far = self.network.hidden(batch.x)
        logits = self.network.logits(hidden, far)
        self._right += int(((logits.detach() > 0) == (batch.labels > 0)).sum())
        self._all += len(logits)
        self._seen.append(watched(hidden[::WATCHED], logits[::WATCHED]))
        return F.binary_cross_entropy_with_logits(logits, batch.labels)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Record the share of patches on the right side, and check for collapse."""
        z, distances = (torch.cat(column) for column in zip(*self._seen, strict=True))
        self._seen.clear()
        right, self._right, count, self._all = self._right, 0, self._all, 0
        return {"accuracy": right / max(count, 1), **self.guard.watch(z, distances)}


def watched(hidden: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return representations (M, K) and odds (M,) for the guard."""
    return hidden.detach().float(), logits.detach().exp().clamp_max(1e6)


@with_gradients
def train_discriminator(
    rows: Rows,
    damaged: NDArray[np.bool_],
    sizes: Sequence[int],
    spec: DiscriminatorSpec,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[DiscriminatorNet, list[Record], CollapseGuard]:
    """Train a network to tell damaged and noisy patches from normal ones.

    Parameters
    ----------
    rows : ndarray of float16 or float32, shape (M, C)
        Patches of normal images and of damaged copies of them.
    damaged : ndarray of bool, shape (M,)
        Which patches are damaged.
    sizes : sequence of int
        Number of features of each stage; their sum is C.
    spec : DiscriminatorSpec
        Settings of the training.
    seed, device, precision, checkpoints, callbacks
        As in `insphere.training.deep_svdd.train_sphere`.

    Returns
    -------
    network, history, guard
        The network in evaluation mode, a record for each epoch, and the guard.
    """
    normal = rows[~damaged]
    network = untrained_discriminator(sizes, spec, seed)
    place(network, device, torch.float32)
    network.fit_whitening(normal[:: max(1, len(normal) // FITTED)].astype(np.float32))
    patches = LabelledPatches(rows, damaged, network, spec, device)
    guard = CollapseGuard(spec.allow_collapse)
    with torch.no_grad(), seeded(seed):
        first = next(patches.batches(spec.phase.batch_size, None))
        hidden, far = network.train().hidden(first.x)
        guard.begin(*watched(hidden, network.logits(hidden, far)))
    autocast = autocast_dtype(precision, network)
    names = CheckpointNames(checkpoints, rows, seed, autocast)
    history = PhaseRun(
        "discriminate", PatchEntropy(network, guard), patches, spec.phase, seed=seed,
        autocast=autocast, callbacks=callbacks,
        checkpoint=names.path("discriminate", spec.model_dump(mode="json")),
    ).run()  # fmt: skip
    return network.eval(), history, guard


def untrained_discriminator(
    sizes: Sequence[int], spec: DiscriminatorSpec, seed: int = 0
) -> DiscriminatorNet:
    """Return an untrained network, into which weights can be loaded."""
    with initial_weights(mixed_seed(seed)):
        return DiscriminatorNet(sizes, spec.widths, spec.dropout, spec.whiten)
