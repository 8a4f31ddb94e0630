"""Training of a segmentation network on synthetic anomalies in normal images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from insphere.nets.draws import initial_weights
from insphere.nets.segmenter import (
    AnomalySegmenter,
    LastLayer,
    SegmentationNet,
    output_stride,
)
from insphere.preprocess.pipeline import Preprocessor, StepSpec
from insphere.synthetic_anomalies import mixed
from insphere.training.batch import Batch
from insphere.training.callbacks import Callback, Record
from insphere.training.checkpoint import CheckpointNames
from insphere.training.damage import DamageKinds, Strengths
from insphere.training.device import Precision, autocast_dtype
from insphere.training.gradients import with_gradients
from insphere.training.guard import CollapseGuard
from insphere.training.images import equal_batches
from insphere.training.loop import PhaseRun, mixed_seed
from insphere.training.objectives import Objective
from insphere.training.recipe import Phase
from insphere.training.start import place, sample_dtype, sample_shape

UNDAMAGED = 0.25
"""Share of the images of a batch that stay undamaged."""
TWICE = 0.3
"""Share of the damaged images that are damaged twice."""


class SegmentationSpec(BaseModel):
    """All settings of the training, apart from the data and the seed.

    Parameters
    ----------
    kinds : tuple of str
        Kinds of synthetic anomalies; see `insphere.synthetic_anomalies.KINDS`.
    strengths : (float, float)
        Least and greatest strength, above 0 and at most 1.
    harmless : float
        How much brightness, contrast and gamma of whole images vary, which is no damage.
    flips : bool
        Whether images are mirrored at random.
    crop : int
        Longest side of the pieces that are trained on, in pixels.
    widths : tuple of int
        Channels of the stem and the levels of the network.
    last : {"odds", "sphere"}
        Last layer of the network; see `SegmentationNet`.
    top : float
        Share of the places whose mean is the score.
    preprocess : tuple of StepSpec
        Steps before the network.
    phase : Phase
        Epochs and learning rate.
    allow_collapse : bool
        Do not stop when all images get the same representation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: DamageKinds
    strengths: Strengths = (0.15, 1.0)
    harmless: float = Field(default=0.25, ge=0, le=1)
    flips: bool = True
    crop: int = Field(default=128, ge=16)
    widths: tuple[PositiveInt, ...] = Field(default=(16, 32, 64, 128), min_length=2)
    last: LastLayer = "odds"
    top: float = Field(default=0.01, gt=0, le=1)
    preprocess: tuple[StepSpec, ...]
    phase: Phase
    allow_collapse: bool = False


class DamagedImages:
    """Training images of which most are damaged anew each time, with masks as labels.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, C)
        Normal images, uint8, or floats from 0 to 1, which are rounded to 256 levels.
    spec : SegmentationSpec
        Kinds and strengths, and what counts as harmless.
    preprocessor : Preprocessor
        Fitted.
    stride : int
        Of the output: a place is damaged if one of its pixels is.
    device : torch.device
        Device of the batches.
    """

    def __init__(
        self,
        images: NDArray[Any],
        spec: SegmentationSpec,
        preprocessor: Preprocessor,
        stride: int,
        device: torch.device,
    ) -> None:
        self._images = images
        self._spec = spec
        self._preprocessor = preprocessor
        self._stride = stride
        self._device = device

    def __len__(self) -> int:
        return len(self._images)

    def batches(self, batch_size: int, generator: torch.Generator | None) -> Iterator[Batch]:
        """One pass in a random order; everything else is drawn from the generator as well."""
        seed = 0
        if generator is not None:
            seed = int(torch.randint(2**62, (), generator=generator))
        rng = np.random.default_rng(seed)
        for index in equal_batches(len(self), batch_size, generator):
            yield self._batch(index.sort().values.numpy(), rng)

    def plain(self, count: int) -> Tensor:
        """Return the first images, undamaged and preprocessed."""
        return self._prepared(self._levels(np.arange(min(count, len(self)))))

    def _levels(self, index: NDArray[Any]) -> NDArray[np.uint8]:
        images = self._images[index]
        if images.dtype != np.uint8:
            images = np.rint(np.clip(images, 0, 1) * 255)
        levels: NDArray[np.uint8] = images.astype(np.uint8, copy=False)
        return levels

    def _batch(self, index: NDArray[Any], rng: np.random.Generator) -> Batch:
        images = relit(self._levels(index), self._spec.harmless, rng)
        masks = np.zeros(images.shape[:3], dtype=bool)
        hurt = rng.permutation(len(images))[round(UNDAMAGED * len(images)) :]
        twice = hurt[: round(TWICE * len(hurt))]
        others = self._levels(np.sort(rng.integers(len(self), size=4)))
        for which in (hurt, twice):
            found = mixed(
                images[which],
                self._spec.kinds,
                strengths=self._spec.strengths,
                seed=int(rng.integers(2**31)),
                textures=others,
            )
            images[which], masks[which] = found.images, masks[which] | found.masks
        whole, labels = self._prepared(images), torch.from_numpy(masks).to(self._device)
        x, y = [], []
        for position, mask in enumerate(masks):
            rows, columns = self._window(mask, rng)
            mirrored = [axis for axis in (1, 2) if self._spec.flips and rng.random() < 0.5]
            x.append(whole[position, :, rows, columns].flip(mirrored))
            y.append(labels[position, None, rows, columns].flip(mirrored))
        places = F.max_pool2d(torch.stack(y).float(), self._stride, ceil_mode=True)[:, 0]
        return Batch(torch.stack(x).to(memory_format=torch.channels_last), labels=places)

    def _window(self, mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[slice, ...]:
        """Draw a window of the size of a crop, around a damaged pixel if there is one."""
        size = np.minimum(mask.shape, self._spec.crop)
        middle = rng.random(2) * mask.shape
        damaged = np.flatnonzero(mask)
        if len(damaged):
            pixel = np.divmod(damaged[rng.integers(len(damaged))], mask.shape[1])
            middle = np.array(pixel) + (rng.random(2) - 0.5) * size
        corner = np.clip(np.rint(middle - size / 2), 0, mask.shape - size).astype(int)
        return tuple(slice(int(c), int(c + n)) for c, n in zip(corner, size, strict=True))

    @torch.no_grad()
    def _prepared(self, images: NDArray[np.uint8]) -> Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        out: Tensor = self._preprocessor(batch.to(self._device))
        return out


def relit(images: NDArray[np.uint8], amount: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change gamma, contrast and brightness of each image as a whole.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        Not changed.
    amount : float
        Gamma and gain lie between exp(−amount) and exp(amount), the shift within ± 64 · amount
        levels.
    """
    levels = np.arange(256) / 255
    out = np.empty_like(images)
    for position, image in enumerate(images):
        gamma, gain = np.exp(rng.uniform(-amount, amount, 2))
        shift = rng.uniform(-64, 64) * amount
        curve = np.clip(np.rint(255 * gain * levels**gamma + shift), 0, 255).astype(np.uint8)
        out[position] = curve[image]
    return out


class PlaceEntropy(Objective):
    """The mean binary cross-entropy of all places, against where the damage is.

    Parameters
    ----------
    network : SegmentationNet
        The network.
    guard : CollapseGuard
        Watches the mean representation of each image, and the mean log-odds as its distance.
    """

    def __init__(self, network: SegmentationNet, guard: CollapseGuard) -> None:
        super().__init__()
        self.network = network
        self.guard = guard
        self._seen: list[tuple[Tensor, Tensor]] = []
        self._sums = np.zeros(4)

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch whose labels are the damaged places, N×u×v."""
        assert batch.labels is not None
        features = self.network.features(batch.x)
        logits = self.network.logits(features)
        self._seen.append(pooled(features, logits))
        with torch.no_grad():
            inside = batch.labels > 0
            found = logits > 0
            both, either = (inside & found).sum(), (inside | found).sum()
            self._sums += [float(both), float(either), float(inside.sum()), inside.numel()]
        return F.binary_cross_entropy_with_logits(logits, batch.labels)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Record how well damage is found (intersection over union), and check for collapse."""
        z, distances = (torch.cat(column) for column in zip(*self._seen, strict=True))
        self._seen.clear()
        both, either, inside, places = self._sums
        self._sums = np.zeros(4)
        return {
            "overlap": float(both / max(either, 1)),
            "damaged": float(inside / places),
            **self.guard.watch(z, distances),
        }


def pooled(features: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean representation (N, K) and the mean odds (N,) of each image."""
    z = features.detach().float().mean(dim=(2, 3))
    return z, logits.detach().float().exp().clamp_max(1e6).mean(dim=(1, 2))


@with_gradients
def train_segmenter(
    images: NDArray[Any],
    spec: SegmentationSpec,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[AnomalySegmenter, list[Record], CollapseGuard]:
    """Train a network to find synthetic anomalies.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, C)
        Normal training images, uint8 or float.
    spec : SegmentationSpec
        Settings of the training.
    seed, device, precision, checkpoints, callbacks
        As in `insphere.training.deep_svdd.train_sphere`.

    Returns
    -------
    segmenter, history, guard
        The model in evaluation mode, a record for each epoch, and the guard.
    """
    shape, dtype = sample_shape(images), sample_dtype(images, device)
    preprocessor = Preprocessor(spec.preprocess, shape).to(device, dtype).fit(images)
    stride = output_stride(*shape[1:])
    with initial_weights(mixed_seed(seed)):
        network = SegmentationNet(shape[0], spec.widths, stride, spec.last)
    place(network, device, dtype)
    samples = DamagedImages(images, spec, preprocessor, stride, device)
    autocast = autocast_dtype(precision, network)
    guard = CollapseGuard(spec.allow_collapse)
    with torch.no_grad(), torch.autocast(device.type, autocast, enabled=autocast is not None):
        features = network.train().features(samples.plain(min(64, spec.phase.batch_size)))
        network.start(features)
        guard.begin(*pooled(features, network.logits(features)))
    reset_statistics(network)
    names = CheckpointNames(checkpoints, images, seed, autocast)
    history = PhaseRun(
        "segment", PlaceEntropy(network, guard), samples, spec.phase, seed=seed,
        autocast=autocast, callbacks=callbacks,
        checkpoint=names.path("segment", spec.model_dump(mode="json")),
    ).run()  # fmt: skip
    return AnomalySegmenter(preprocessor, network, spec.top).eval(), history, guard


def reset_statistics(network: nn.Module) -> None:
    """Forget what batch norm has seen."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
