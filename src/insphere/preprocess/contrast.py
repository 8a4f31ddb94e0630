"""Global contrast normalisation: each image minus its mean, divided by its own contrast."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from insphere.preprocess.step import Spec, Step, nonzero_or_one


class GlobalContrastSpec(Spec):
    """Settings of `GlobalContrast`."""

    step: Literal["gcn"] = "gcn"
    norm: Literal["l1", "l2"] = "l1"

    def build(self, shape: tuple[int, ...]) -> GlobalContrast:
        """Make the step for samples of `shape`."""
        return GlobalContrast(self.norm)


class GlobalContrast(Step):
    """Global contrast normalisation of each sample (Ruff et al. 2018, section 4.1).

    The mean over all pixels and channels is subtracted, and the result divided by its mean
    absolute value (L1) or its root mean square (L2). A constant image becomes zero, up to rounding.

    Parameters
    ----------
    norm : {"l1", "l2"}
        How the contrast is measured.
    """

    def __init__(self, norm: Literal["l1", "l2"] = "l1") -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a batch."""
        x = x - _mean(x)
        contrast = _mean(x.abs()) if self.norm == "l1" else _mean(x.square()).sqrt()
        return x / nonzero_or_one(contrast, smallest=1e-6)


def _mean(x: Tensor) -> Tensor:
    """Return the mean of each sample, with all dimensions kept.

    In an exported graph it is computed in float64: ONNX Runtime adds number to number, which over
    all pixels of an image would lose two digits of float32 that torch keeps.
    """
    wide = x.double() if torch.compiler.is_exporting() else x
    return wide.mean(dim=tuple(range(1, x.ndim)), keepdim=True).to(x.dtype)
