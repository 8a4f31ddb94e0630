"""Contrastive fine-tuning around the mean of normal images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from insphere.training.batch import Batch
from insphere.training.images import equal_batches
from insphere.training.panda import CompactnessLoss, normalised


class ViewRows:
    """Maps of several views of each training image; a batch has two random ones of each image.

    Parameters
    ----------
    views : ndarray of float16, shape (N, V, H, W, C)
        V ≥ 2 views of each image, from the frozen part.
    device : torch.device
        Device of the batches.
    """

    def __init__(self, views: NDArray[np.floating[Any]], device: torch.device) -> None:
        self._views = views
        self._device = device

    def __len__(self) -> int:
        return len(self._views)

    def batches(self, batch_size: int, generator: torch.Generator | None) -> Iterator[Batch]:
        """One pass in equal batches of images, float32, shape (B, 2, C, H, W)."""
        count = self._views.shape[1]
        for index in equal_batches(len(self), batch_size, generator):
            pair = torch.rand(len(index), count, generator=generator).argsort(dim=1)[:, :2]
            selected = self._views[index[:, None].numpy(), pair.numpy()]
            maps = torch.from_numpy(selected).to(self._device).float()
            yield Batch(maps.permute(0, 1, 4, 2, 3))


class MeanShifted(CompactnessLoss):
    """Separates images by their angles around the centre (after Reiss & Hoshen 2023, "MSC").

    With z = (f/‖f‖ − c), scaled to length 1 again, two views of one image become more similar
    than views of different images: the mean over all views of −log of
    exp(⟨z, z'⟩/τ) / Σ exp(⟨z, z''⟩/τ), where z' is the other view of the same image and the sum
    runs over all other views in the batch. Because angles are measured around c, features can
    stay close to c while they separate single images.

    Parameters
    ----------
    temperature : float
        τ.
    *others, **named
        As in `CompactnessLoss`, whose guard this shares.
    """

    def __init__(self, *others: Any, temperature: float, **named: Any) -> None:
        super().__init__(*others, **named)
        self.temperature = temperature

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of pairs of maps, shape (B, 2, C, H, W)."""
        maps = batch.x.transpose(0, 1).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return contrast(normalised(self.tail(maps)) - self.center, self.temperature)


def contrast(z: Tensor, temperature: float) -> Tensor:
    """Return the contrastive loss of 2B vectors, the second view of row i in row B + i.

    Parameters
    ----------
    z : Tensor, shape (2B, C)
        Scaled to length 1 here.
    temperature : float
        τ.
    """
    return F.cross_entropy(*similarities(z, temperature))


def similarities(z: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return what is compared in a contrast of 2B vectors, the second view of row i in row B + i.

    Parameters
    ----------
    z : Tensor, shape (2B, C)
        Scaled to length 1 here.
    temperature : float
        τ.

    Returns
    -------
    logits : Tensor, shape (2B, 2B)
        Cosines over τ; −∞ of each row with itself.
    other : Tensor of int64, shape (2B,)
        Place of the other view of each row.
    """
    z = F.normalize(z, dim=1)
    with torch.autocast(z.device.type, enabled=False):
        similar = z @ z.T / temperature
    similar = similar.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
    other = torch.arange(len(z), device=z.device).roll(len(z) // 2)
    return similar, other
