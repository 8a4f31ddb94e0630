"""Losses of a fully convolutional sphere that is shown anomalies, with masks or without: FCDD."""

from __future__ import annotations

import torch
from torch import Tensor

from insphere.nets.convolutional_sphere import spread_over
from insphere.training.labelled_anomalies import SMALLEST_DISTANCE


def anomalous_images(labels: Tensor) -> Tensor:
    """Return which images have an anomaly, shape (B,): a label below 0, of any of its pixels.

    Parameters
    ----------
    labels : Tensor, shape (B,) or (B, H, W)
        0 or 1 for normal and -1 for anomalous images, or pixels.
    """
    return labels.flatten(1).amin(dim=1) < 0 if labels.ndim > 1 else labels < 0


def place_losses(places: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of each image (Liznerski et al. 2021, equations 2 and 3), shape (B,).

    With the mean h of the map, a normal image has the loss h, and an anomalous one
    −log(1 − exp(−h)). With labels of pixels the map is enlarged to the size of the image. Then the
    mean h₀ over the image of its normal pixels is added for each image, and −log(1 − exp(−h₁)) for
    the mean h₁ of its anomalous pixels, if there are any; both means divide by all pixels.

    Parameters
    ----------
    places : Tensor, shape (B, u, v)
        Pseudo-Huber distances of all places.
    labels : Tensor, shape (B,) or (B, H, W)
        As in `anomalous_images`.
    """
    anomalous = anomalous_images(labels)
    if labels.ndim == 1:
        near = places.mean(dim=(1, 2))
        return torch.where(anomalous, _far(near), near)
    heat, wrong = spread_over(places, labels.shape[1:]), labels < 0
    zero = torch.zeros_like(heat)
    outside = torch.where(wrong, zero, heat).mean(dim=(1, 2))
    inside = torch.where(wrong, heat, zero).mean(dim=(1, 2))
    return outside + torch.where(anomalous, _far(inside), torch.zeros_like(inside))


def _far(distances: Tensor) -> Tensor:
    return -torch.log(-torch.expm1(-distances.clamp_min(SMALLEST_DISTANCE)))
