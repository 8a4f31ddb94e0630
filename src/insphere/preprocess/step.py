"""Base of all preprocessing steps: a module with buffers, fitted in one pass over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

Scope = Literal["all", "channel", "feature"]
Batches = Callable[[], Iterable[Tensor]]


class Spec(BaseModel):
    """Base of the settings of a step: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(nn.Module):
    """A transformation of float batches, N×C×H×W or N×F.

    What a step learns is stored in buffers. So it is saved, moved between devices and exported
    together with the network that follows it.
    """

    def fit(self, batches: Batches) -> None:
        """Learn the statistics; `batches()` starts a new pass over the training normals."""

    def inverse(self, x: Tensor) -> Tensor | None:
        """Undo the step for display; None where that cannot be done."""
        return None


def statistics_shape(shape: tuple[int, ...], scope: Scope) -> tuple[int, ...]:
    """Shape of one statistic that broadcasts over a batch of samples of `shape`.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample: (C, H, W) or (F,).
    scope : {"all", "channel", "feature"}
        One statistic for everything, for each channel (each column of a table), or for each pixel
        of each channel.
    """
    if scope == "feature":
        return (1, *shape)
    if scope == "channel":
        return (1, shape[0], *(1 for _ in shape[1:]))
    return (1, *(1 for _ in shape))


def reduced_dimensions(statistic: Tensor) -> tuple[int, ...]:
    """Dimensions of a batch over which a statistic of this shape is taken."""
    return tuple(d for d, size in enumerate(statistic.shape) if size == 1)


def nonzero_or_one(scale: Tensor, smallest: float = 1e-7) -> Tensor:
    """Replace scales that are too small to divide by with 1, so that constants stay constant."""
    return torch.where(scale > smallest, scale, torch.ones_like(scale))
