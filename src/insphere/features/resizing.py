"""Resizing of images of one size as two products with matrices, for exported graphs.

`torch.nn.functional.interpolate` with antialiasing has no equal in ONNX: the operator ``Resize``
has another cubic filter, and knows no rounding of bytes. Resizing is linear, first along rows, then
along columns. So for images of one size it is a matrix on either side. For bytes, PyTorch and
Pillow round the weights to whole numbers of 15 bits, and the values after each of the two steps;
both are done here in the same way, so that every byte is equal.
"""

from __future__ import annotations

from math import floor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Floats = NDArray[np.float64]

BITS = 15  # of a whole-number weight, with its sign
MOST_BITS = 22
EXACT = 2**24  # whole numbers up to here are exact in float32
CUBIC = -0.5  # the parameter of the cubic filter with antialiasing


class Resizing(nn.Module):
    """Resizes images N×C×H×W of one height and width, as ``F.interpolate(antialias=True)`` does.

    Parameters
    ----------
    before, after : (int, int)
        Height and width.
    kind : {"bilinear", "bicubic"}
        The filter.
    whole : bool
        Whether the images are bytes, which stay whole numbers; else floats.
    """

    def __init__(
        self, before: tuple[int, int], after: tuple[int, int], kind: str, *, whole: bool
    ) -> None:
        super().__init__()
        self.whole = whole
        self._shifts: list[float] = []
        for name, n_in, n_out in zip(("rows", "columns"), before, after, strict=True):
            if n_in == n_out:
                self.register_buffer(name, None)
                self._shifts.append(1.0)
                continue
            weights = filter_weights(n_in, n_out, kind)
            bits = 0
            if whole:
                weights, bits = whole_weights(weights)
            self._shifts.append(float(1 << bits))
            exact = 255 * np.abs(weights).sum(axis=1).max() < EXACT
            self.register_buffer(name, torch.tensor(weights, dtype=_dtype(exact or not whole)))

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to N×C×h×w, in float32; whole numbers if the input is bytes."""
        rows, columns = self.get_buffer("rows"), self.get_buffer("columns")
        x = x.float()
        if columns is not None:
            x = self._rounded(x.to(columns.dtype) @ columns.T, self._shifts[1])
        if rows is not None:
            x = self._rounded(rows @ x.to(rows.dtype), self._shifts[0])
        return x

    def _rounded(self, x: Tensor, shift: float) -> Tensor:
        if not self.whole:
            return x.float()
        return torch.floor((x + shift / 2) / shift).clamp(0, 255).float()


def _dtype(single: bool) -> torch.dtype:
    return torch.float32 if single else torch.float64


def filter_weights(n_in: int, n_out: int, kind: str) -> Floats:
    """Return the weight of each input value in each output value along one side.

    Parameters
    ----------
    n_in, n_out : int
        Values before and after.
    kind : {"bilinear", "bicubic"}
        The filter, which is as wide as a pixel of the coarser side.

    Returns
    -------
    ndarray of float64, shape (n_out, n_in)
        Rows sum to 1.
    """
    reach = 2 if kind == "bicubic" else 1
    shape = _cubic if kind == "bicubic" else _triangle
    scale = n_in / n_out
    wide = max(scale, 1.0)
    weights = np.zeros((n_out, n_in))
    for place in range(n_out):
        center = scale * (place + 0.5)
        low = max(floor(center - reach * wide + 0.5), 0)
        high = min(floor(center + reach * wide + 0.5), n_in)
        own = shape((np.arange(low, high, dtype=np.float64) - center + 0.5) / wide)
        weights[place, low:high] = own / own.sum()
    return weights


def whole_weights(weights: Floats) -> tuple[Floats, int]:
    """Return weights as whole numbers of at most 15 bits, and by how many bits they were raised."""
    most, bits = float(weights.max()), 0
    while bits < MOST_BITS and floor(0.5 + most * 2 ** (bits + 1)) < 2**BITS:
        bits += 1
    raised = weights * 2**bits
    return np.trunc(raised + np.where(raised < 0, -0.5, 0.5)), bits


def _triangle(x: Floats) -> Floats:
    height: Floats = np.maximum(1 - np.abs(x), 0)
    return height


def _cubic(x: Floats) -> Floats:
    x = np.abs(x)
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * CUBIC
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
