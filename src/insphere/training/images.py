"""Training samples for the loop: preprocessed, on the device, in batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from insphere.preprocess.pipeline import Preprocessor, to_batch
from insphere.resources import step_budget
from insphere.training.batch import Batch
from insphere.training.training_set import KNOWN, TrainingSet, as_training_set

PREPARED_BYTES = 2 << 30
PREPARED_AT_ONCE = 1024
LARGE_IMAGE = 1 << 20  # bytes as float32, from which on an image is prepared when it is needed


class Samples(Protocol):
    """Training samples that are given in equal batches."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def batches(self, batch_size: int, generator: torch.Generator | None) -> Iterator[Batch]:
        """One pass in a random order, or without a generator in the given order."""


class TrainingImages:
    """Preprocessed batches of images or of rows of a table.

    Images are preprocessed once and kept as float32 on the device, if that takes less than `memory`
    bytes. Otherwise, if they are large, the raw images stay where they are (for example in a memory
    map), and each batch is preprocessed when it is used. Both give the same batches.

    Parameters
    ----------
    samples : ndarray, shape (N, H, W, C) or (N, F), or TrainingSet
        Raw training samples, optionally with labels, groups and weights for the batches.
    preprocessor : Preprocessor
        Already fitted.
    device : torch.device
        Device of the batches.
    memory : int
        Largest size of the preprocessed images in bytes; less if the process has little memory.
    ordered : bool
        Sort the samples within each batch by their position in the set.
    """

    def __init__(
        self,
        samples: NDArray[Any] | TrainingSet,
        preprocessor: Preprocessor,
        device: torch.device,
        memory: int | None = None,
        ordered: bool = False,
    ) -> None:
        train = as_training_set(samples)
        images = train.data
        memory = min(PREPARED_BYTES, 2 * step_budget()) if memory is None else memory
        self._raw = images
        self._known = {
            name: torch.from_numpy(value)
            for name, value in train.known(KNOWN).items()
            if value is not None
        }
        if train.weights is not None:
            self._known["weights"] = self._known["weights"] * (len(images) / train.weights.sum())
        self._preprocessor = preprocessor
        self._device = device
        self._ordered = ordered
        self._prepared: Tensor | None = None
        large = 4 * images[:1].size > LARGE_IMAGE
        if images.size * 4 <= memory and not large:
            self._prepared = self._all_prepared(images)

    def __len__(self) -> int:
        return len(self._raw)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample as the network sees it: (C, H, W) or (F,)."""
        return self._preprocessor.shape

    @torch.no_grad()
    def prepare(self, raw: NDArray[Any]) -> Tensor:
        """Preprocess raw samples into one batch."""
        out: Tensor = self._preprocessor(to_batch(raw, self._device))
        return out

    def _all_prepared(self, images: NDArray[Any]) -> Tensor:
        """Return all samples, channels last, in one tensor that is filled part by part."""
        whole = torch.empty(0)
        for start in range(0, len(images), PREPARED_AT_ONCE):
            part = _channels_last_storage(self.prepare(images[start : start + PREPARED_AT_ONCE]))
            if not start:
                whole = part.new_empty((len(images), *part.shape[1:]))
            whole[start : start + len(part)] = part
        return whole

    def take(self, index: Tensor) -> Batch:
        """Return the samples at `index` (on the CPU, int64) as one batch."""
        if self._ordered:
            index = index.sort().values
        if self._prepared is None:  # a memory map is read faster in its order
            ascending, order = index.sort()
            x = self.prepare(self._raw[ascending.numpy()][order.argsort().numpy()])
        else:
            x = self._prepared.index_select(0, index.to(self._prepared.device))
            x = x.permute(0, 3, 1, 2) if x.ndim == 4 else x
        known = {name: value[index].to(self._device) for name, value in self._known.items()}
        return Batch(x, **known)

    @property
    def weights(self) -> Tensor | None:
        """Weight of each sample, with mean 1; None if all are equal."""
        return self._known.get("weights")

    def batches(self, batch_size: int, generator: torch.Generator | None) -> Iterator[Batch]:
        """One pass in equal batches, so that no small last batch disturbs batch norm.

        Parameters
        ----------
        batch_size : int
            Upper bound on the size of a batch.
        generator : torch.Generator, optional
            Draws the order; without it images are in the given order.
        """
        for index in equal_batches(len(self), batch_size, generator):
            yield self.take(index)


def equal_batches(n: int, batch_size: int, generator: torch.Generator | None) -> Sequence[Tensor]:
    """Divide n samples into batches of equal size, as lists of positions.

    Parameters
    ----------
    n : int
        Number of samples.
    batch_size : int
        Upper bound on the size of a batch.
    generator : torch.Generator, optional
        Draws the order; without it samples are in the given order.
    """
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    return order.tensor_split(math.ceil(n / batch_size))


def _channels_last_storage(batch: Tensor) -> Tensor:
    return (batch.permute(0, 2, 3, 1) if batch.ndim == 4 else batch).contiguous()
