"""From the maps of a pretrained network to one vector for each image, as a torch module."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

TINY = 1e-12


class PooledVectors(nn.Module):
    """Chosen columns of pooled features, normalised and joined, in float64.

    Parameters
    ----------
    columns : sequence of ndarray of int64
        Of each part.
    normalize : {"root-l2", "l2", "root"} or None
        See `insphere.detectors.frozen_features.pooled_features.pooled_vectors`.
    """

    def __init__(self, columns: Sequence[NDArray[np.int64]], normalize: str | None) -> None:
        super().__init__()
        self.columns = [torch.from_numpy(index) for index in columns]
        self.normalize = normalize

    def forward(self, values: Tensor) -> Tensor:
        """Map pooled features (N, 2 ΣC) to vectors (N, d)."""
        parts = []
        for columns in self.columns:
            part = values[:, columns.to(values.device)].double()
            if self.normalize in ("root-l2", "root"):
                root = part.sign() * part.abs().clamp_min(TINY).sqrt()
                part = torch.where(part == 0, torch.zeros_like(part), root)
            if self.normalize in ("root-l2", "l2"):
                length = part.norm(dim=1, keepdim=True)
                part = part / torch.where(length > 0, length, torch.ones_like(length))
            parts.append(part)
        return torch.cat(parts, dim=1)
