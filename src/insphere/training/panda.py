"""The objective of PANDA: reduces the distances of features, and stops before a collapse."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from insphere.training.batch import Batch
from insphere.training.images import equal_batches
from insphere.training.objectives import Objective


class MapRows:
    """Input maps of the trained stages for the training images, for the training loop.

    Parameters
    ----------
    maps : ndarray of float16 or float32, shape (N, H, W, C)
        From the frozen part.
    device : torch.device
        Device of the batches.
    labels : ndarray of int64, shape (N,), optional
        Classes, for the batches.
    mirrored : ndarray, shape (N, H, W, C), optional
        Maps of the mirror images; while training, half of each batch is drawn from them.
    """

    def __init__(
        self,
        maps: NDArray[np.floating[Any]],
        device: torch.device,
        labels: NDArray[np.int64] | None = None,
        mirrored: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        self._maps = maps
        self._mirrored = mirrored
        self._device = device
        self._labels = None if labels is None else torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self._maps)

    def batches(self, batch_size: int, generator: torch.Generator | None) -> Iterator[Batch]:
        """One pass in equal batches, float32, shape (B, C, H, W), channels-last."""
        for index in equal_batches(len(self), batch_size, generator):
            batch = torch.from_numpy(self._drawn(index, generator)).to(self._device)
            known = None if self._labels is None else self._labels[index].to(self._device)
            yield Batch(batch.float().permute(0, 3, 1, 2), known)

    def _drawn(self, index: Tensor, generator: torch.Generator | None) -> NDArray[np.floating[Any]]:
        rows = index.numpy()
        found: NDArray[np.floating[Any]] = self._maps[rows]
        if self._mirrored is not None and generator is not None:
            other = torch.randint(2, (len(rows),), generator=generator).numpy() == 1
            found = np.array(found)
            found[other] = self._mirrored[rows[other]]
        return found


class CompactnessLoss(Objective):
    """Reduces the distances of pooled, normalised features (after Reiss et al. 2021, "PANDA").

    The loss is the mean of ‖f/‖f‖ − c‖², where f is the mean over the last map and c the mean of
    the normalised features at the start. Pretrained layers have biases, so the loss could
    become zero with the same features for every image. So training ends, and goes back by one
    epoch, when the variance of the normalised features falls below a share of that at the start.
    This needs no labels.

    Parameters
    ----------
    tail : torch.nn.Module
        The trained stages, from map to map.
    center : Tensor, shape (C,)
        The centre c.
    look : callable
        Returns the current normalised features of some training images, (N, C).
    keep_spread : float
        This share.
    """

    center: Tensor

    def __init__(
        self, tail: nn.Module, center: Tensor, look: Callable[[], Tensor], keep_spread: float
    ) -> None:
        super().__init__()
        self.tail = tail
        self.look = look
        self.keep_spread = keep_spread
        self.register_buffer("center", center)
        self.start_spread = spread(look())
        self.findings: list[str] = []
        self._good = copy.deepcopy(tail.state_dict())

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of maps."""
        z = normalised(self.tail(batch.x))
        return (z - self.center).square().sum(dim=1).mean()

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Keep the weights if the features still vary enough; otherwise go back and end."""
        share = spread(self.look()) / max(self.start_spread, 1e-30)
        if share >= self.keep_spread:
            self._good = copy.deepcopy(self.tail.state_dict())
        else:
            self.tail.load_state_dict(self._good)
            self.finished = True
            self.findings = [
                f"Fine-tuning ended after {epoch} epoch{'' if epoch == 1 else 's'}: in the next "
                f"one the features' variance fell to {share:.1%} of what it was, below "
                f"{self.keep_spread:.0%}."
            ]
        return {"spread": share}

    def notes(self) -> dict[str, Any]:
        """Return whether training has ended, and why."""
        return {
            "finished": self.finished,
            "findings": self.findings,
            "start_spread": self.start_spread,
        }

    def restore_notes(self, notes: dict[str, Any]) -> None:
        """Restore the notes of a checkpoint."""
        self.finished = notes["finished"]
        self.findings = notes["findings"]
        self.start_spread = notes["start_spread"]
        self._good = copy.deepcopy(self.tail.state_dict())


def normalised(m: Tensor) -> Tensor:
    """Mean of each channel over its map, scaled to length 1: N×C×H×W to N×C."""
    return F.normalize(m.float().mean(dim=(2, 3)), dim=1)


def spread(z: Tensor) -> float:
    """Return the mean squared distance of rows to their mean."""
    return float((z - z.mean(dim=0)).square().sum(dim=1).mean())
