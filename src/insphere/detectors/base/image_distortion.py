"""Distances of images whose pixels may move a little: the image distortion model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

CONTEXT = 3
"""Side of the square around a pixel that moves with it."""
PAIRS_BYTES = 64 << 20


def gradients(images: NDArray[np.float64], shape: tuple[int, ...]) -> Tensor:
    """Return the Sobel gradients of flat images, down and to the right: (N, 2C, H, W), float32.

    Parameters
    ----------
    images : ndarray, shape (N, H · W · C)
        Rows of pixels.
    shape : tuple of int
        (H, W, C).
    """
    x = torch.from_numpy(np.ascontiguousarray(images)).float().reshape(-1, *shape)
    smooth, slope = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0])
    right = smooth[:, None] * slope[None, :] / 8
    kernels = torch.stack([right.T, right])[:, None]
    maps = x.permute(0, 3, 1, 2).reshape(-1, 1, *shape[:2])
    found = F.conv2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), kernels)
    return found.reshape(len(x), -1, *shape[:2])


def distortion(x: Tensor, others: Tensor, reach: int) -> Tensor:
    """Return the distance of each image to some others, if each pixel may move by itself.

    The image distortion model (Keysers et al. 2007, section 4.3): every pixel of the image, with
    the 3×3 pixels around it, is compared with the best place within `reach` pixels in the other
    image, and the squared differences are summed over the pixels. Nothing keeps two neighbouring
    pixels from moving in different directions.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        Maps of the images, such as `gradients`.
    others : Tensor, shape (N, K, C, H, W)
        Maps of K images for each.
    reach : int
        Largest displacement in pixels, in both directions.

    Returns
    -------
    Tensor, shape (N, K)
        Roots of the sums, with the mean over a context in place of its sum.
    """
    height, width = others.shape[3:]
    padded = F.pad(others, (reach,) * 4)
    best: Tensor | None = None
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            moved = padded[..., down : down + height, right : right + width]
            squared = (moved - x[:, None]).square_().sum(dim=2)
            around = F.avg_pool2d(squared, CONTEXT, stride=1, padding=CONTEXT // 2)
            best = around if best is None else torch.minimum(best, around)
    assert best is not None
    return best.sum(dim=(2, 3)).sqrt()


def distortion_of_pairs(
    x: Tensor, stored: Tensor, places: NDArray[np.intp], reach: int
) -> NDArray[np.float64]:
    """Return the distances of images to the stored images at `places`, a part of them at a time.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        Maps of the images.
    stored : Tensor, shape (M, C, H, W)
        Maps of the stored images.
    places : ndarray of int, shape (N, K)
        Which stored images each is compared with.
    reach : int
        Largest displacement in pixels.
    """
    if not len(x):
        return np.empty(places.shape)
    at_once = max(1, PAIRS_BYTES // (4 * places.shape[1] * x[0].numel()))
    index = torch.from_numpy(places)
    with torch.no_grad():
        parts = [
            distortion(x[s : s + at_once], stored[index[s : s + at_once]], reach)
            for s in range(0, len(x), at_once)
        ]
    found: NDArray[np.float64] = torch.cat(parts).double().numpy()
    return found
