"""Attacks on a detector itself: steps down the gradient of the score, within a small distance.

Madry et al. (2018), "Towards deep learning models resistant to adversarial attacks": projected
gradient descent. Here it lowers an anomaly score, so that an anomaly passes as normal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insphere.detectors.base.network_detector import NetworkDetector
from insphere.errors import DataError, SpecError

if TYPE_CHECKING:
    from insphere.detectors.base.estimator import OneClassDetector

Images = NDArray[np.uint8]
Norm = Literal["linf", "l2"]

BATCH = 128
WHITE = 255.0


@dataclass(frozen=True, eq=False)
class Fooled:
    """Result of an attack on a detector.

    Attributes
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        The changed images.
    before, after : ndarray of float64, shape (N,)
        Anomaly scores of the given and of the changed images; `after` is nowhere higher.
    """

    images: Images
    before: NDArray[np.float64]
    after: NDArray[np.float64]


def fool(
    detector: OneClassDetector,
    images: Images,
    *,
    norm: Norm = "linf",
    epsilon: float = 4.0,
    steps: int = 40,
) -> Fooled:
    """Lower the anomaly scores of images by changing their pixels a little.

    Parameters
    ----------
    detector : OneClassDetector
        One with `scoring_module`: all that have a network.
    images : ndarray of uint8, shape (N, H, W, C)
        Images, anomalous ones as a rule.
    norm : {"linf", "l2"}
        Whether `epsilon` bounds the change of each value, or its root of the sum of squares over
        the whole image.
    epsilon : float
        The bound, in grey levels of 0 to 255.
    steps : int
        Steps of 2.5 ε / steps.

    Returns
    -------
    Fooled

    Raises
    ------
    SpecError
        If the detector has no single network, or a setting is out of range.
    DataError
        If the images are not uint8 of shape N×H×W×C.
    """
    if not isinstance(detector, NetworkDetector):
        raise SpecError(
            f"{type(detector).__name__} has no single network to take gradients of, so this attack "
            "cannot be used on it."
        )
    changed = descend(detector.scoring_module(), images, norm=norm, epsilon=epsilon, steps=steps)
    before, after = detector.anomaly_score(images), detector.anomaly_score(changed)
    worse = after > before  # by the rounding of another number format
    changed[worse], after[worse] = np.asarray(images)[worse], before[worse]
    return Fooled(changed, before, after)


def descend(module: nn.Module, images: Images, *, norm: Norm, epsilon: float, steps: int) -> Images:
    """Lower the output of a module by projected gradient descent.

    The gradient is taken at whole pixel values, as a file holds them: the change is rounded towards
    zero, so that it never exceeds ε. The change with the lowest output is returned.

    Parameters
    ----------
    module : torch.nn.Module
        From images N×C×H×W between 0 and 1 to one number each.
    images, norm, epsilon, steps
        As in `fool`.
    """
    pixels = np.asarray(images)
    if pixels.dtype != np.uint8 or pixels.ndim != 4:
        raise DataError(
            f"Attacked are uint8 images of shape N×H×W×C, but these are {pixels.dtype} of shape "
            f"{pixels.shape}."
        )
    if norm not in _NORMS:
        raise SpecError(f"norm is 'linf' or 'l2', but got {norm!r}.")
    if not epsilon >= 0 or steps < 1:
        raise SpecError(
            f"epsilon is 0 or more and steps at least 1, but got {epsilon!r} and {steps!r}."
        )
    direction, project = _NORMS[norm]
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    found = np.empty_like(pixels)
    for start in range(0, len(pixels), BATCH):
        part = torch.from_numpy(np.array(pixels[start : start + BATCH])).to(device)
        x = part.permute(0, 3, 1, 2).float()
        best = _descend(module, x, direction, project, epsilon, 2.5 * epsilon / steps, steps)
        found[start : start + BATCH] = best.permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()
    return found


def _descend(
    module: nn.Module,
    original: Tensor,
    direction: Callable[[Tensor], Tensor],
    project: Callable[[Tensor, float], Tensor],
    epsilon: float,
    step: float,
    steps: int,
) -> Tensor:
    """Walk with one batch of pixels, N×C×H×W from 0 to 255, and return the best of each."""
    change = torch.zeros_like(original)
    best, lowest = original, torch.full((len(original),), torch.inf, device=original.device)
    for number in range(steps + 1):
        x = (original + change.trunc()).requires_grad_()
        with torch.enable_grad():
            scores = module(x / WHITE)
            (gradient,) = torch.autograd.grad(scores.sum(), x)
        better = scores.detach() < lowest
        lowest = torch.where(better, scores.detach(), lowest)
        best = torch.where(_wide(better), x.detach(), best)
        if number < steps:
            change = project(change - step * direction(gradient), epsilon)
            change = (original + change).clamp(0, WHITE) - original
    return best


def _l2_direction(gradient: Tensor) -> Tensor:
    return gradient / _wide(gradient.flatten(1).norm(dim=1).clamp_min(1e-30))


def _into_ball(change: Tensor, epsilon: float) -> Tensor:
    length = change.flatten(1).norm(dim=1)
    return change * _wide((epsilon / length.clamp_min(1e-30)).clamp_max(1))


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None, None]


_NORMS: dict[str, Any] = {
    "linf": (torch.sign, lambda change, epsilon: change.clamp(-epsilon, epsilon)),
    "l2": (_l2_direction, _into_ball),
}
