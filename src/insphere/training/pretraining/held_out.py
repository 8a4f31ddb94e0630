"""The normal images that a pretraining does not see, and those that it sees."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from insphere.training.batch import Batch
from insphere.training.images import TrainingImages, equal_batches

HELD_OUT = 10  # one of so many normal images is not trained on
FEWEST = 50  # below this, none is held out


class Chosen:
    """Some of the training samples, as samples of the loop.

    Parameters
    ----------
    images : TrainingImages
        All samples.
    mask : Tensor of bool, shape (N,)
        Which are given.
    """

    def __init__(self, images: TrainingImages, mask: Tensor) -> None:
        self.images = images
        self.index = mask.nonzero().squeeze(1)

    def __len__(self) -> int:
        return len(self.index)

    def batches(self, batch_size: int, generator: torch.Generator | None) -> Iterator[Batch]:
        """One pass in equal batches; see `TrainingImages.batches`."""
        for places in equal_batches(len(self), batch_size, generator):
            yield self.images.take(self.index[places])


def held_out(n: int) -> Tensor:
    """Return which of n normal images the pretraining does not see: a tenth, always the same.

    Parameters
    ----------
    n : int
        Number of images. With fewer than `FEWEST` none is held out.
    """
    chosen = torch.zeros(n, dtype=torch.bool)
    if n >= FEWEST:
        order = torch.randperm(n, generator=torch.Generator().manual_seed(n))
        chosen[order[: n // HELD_OUT]] = True
    return chosen
