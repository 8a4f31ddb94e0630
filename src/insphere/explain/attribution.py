"""Which pixels a score depends on, found from outside: by gradients or by covering them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insphere.detectors.base.network_detector import NetworkDetector
from insphere.errors import SpecError, require
from insphere.resources import rows_within
from insphere.training.step_memory import SMALL_PIXELS, gradient_bytes

if TYPE_CHECKING:
    from insphere.detectors.base.estimator import OneClassDetector

Maps = NDArray[np.float32]

BATCH = 128
STEPS = 32  # of the path of integrated gradients
WINDOW = 7  # a side is this many windows long; they overlap by half


def as_floats(images: NDArray[Any]) -> NDArray[np.float32]:
    """Return raw images as float32; uint8 comes to lie between 0 and 1."""
    values = np.asarray(images).astype(np.float32)
    if images.dtype == np.uint8:
        values /= 255
    return values


def gradient_times_input(detector: OneClassDetector, images: NDArray[Any]) -> Maps:
    """Return |x · ∂score/∂x| of each pixel, summed over channels, shape (N, H, W).

    A pixel that is 0 gets 0: on a dark ground only what is there can be marked.
    """
    module = _module(detector)

    def explain(x: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(module(x).sum(), x)
        return (x.detach() * gradient).abs().sum(dim=1)

    return _in_batches(images, explain, module)


def integrated_gradients(
    detector: OneClassDetector, images: NDArray[Any], baseline: NDArray[np.float32]
) -> Maps:
    """Return integrated gradients (Sundararajan et al. 2017) from a baseline, shape (N, H, W).

    With their sign, they sum to the difference of the scores of image and baseline; kept are the
    pixels that raise the score.

    Parameters
    ----------
    detector : OneClassDetector
        With one network.
    images : ndarray, shape (N, H, W, C)
        Raw images.
    baseline : ndarray of float32, shape (H, W, C)
        Where the path begins, between 0 and 1 for uint8 images.
    """
    captum = require("captum.attr", "explain", "Integrated gradients")
    module = _module(detector)
    method = captum.IntegratedGradients(module)
    start = _to_tensor(np.asarray(baseline, np.float32)[None], _device(module))

    def explain(x: Tensor) -> Tensor:
        found: Tensor = method.attribute(
            x, baselines=start, n_steps=STEPS, internal_batch_size=max(at_once, len(x))
        )
        return found.sum(dim=1).clamp_min(0)

    at_once = _batch(module, _to_tensor(as_floats(images[:1]), _device(module)), 4 * BATCH)
    return _in_batches(images, explain, module)


def occlusion(
    detector: OneClassDetector, images: NDArray[Any], baseline: NDArray[np.float32]
) -> Maps:
    """Return how far the score falls when a window around each pixel is covered, shape (N, H, W).

    Works for every detector, since nothing but scores is asked for. Windows are a seventh of the
    smaller side, and cover with the baseline.

    Parameters
    ----------
    detector : OneClassDetector
        Fitted on images.
    images : ndarray, shape (N, H, W, C)
        Raw images.
    baseline : ndarray of float32, shape (H, W, C)
        What covers, between 0 and 1 for uint8 images.
    """
    captum = require("captum.attr", "explain", "Occlusion")
    channels = images.shape[3]
    side = max(1, round(min(images.shape[1:3]) / WINDOW))
    step = max(1, side // 2)

    def score(x: Tensor) -> Tensor:
        raw = np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy())
        return torch.from_numpy(detector._score_read(raw))

    method = captum.Occlusion(score)
    cover = _to_tensor(np.asarray(baseline, np.float32)[None], torch.device("cpu"))

    def explain(x: Tensor) -> Tensor:
        found: Tensor = method.attribute(
            x,
            sliding_window_shapes=(channels, side, side),
            strides=(channels, step, step),
            baselines=cover.expand_as(x),
            perturbations_per_eval=8,
        )
        return found.sum(dim=1).clamp_min(0)

    return _in_batches(images, explain, None)


def _module(detector: OneClassDetector) -> nn.Module:
    if not isinstance(detector, NetworkDetector):
        raise SpecError(
            f"{type(detector).__name__} has no single network to take gradients of; use own or "
            "occlusion."
        )
    return detector.scoring_module()


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _to_tensor(images: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).to(device)


def _batch(module: nn.Module, x: Tensor, most: int = BATCH) -> int:
    """Return for how many images gradients are taken at once; of large ones, what memory takes."""
    if most * x[0, 0].numel() <= 4 * SMALL_PIXELS:
        return most
    return rows_within(gradient_bytes(module, x[:1]), most)


def _in_batches(images: NDArray[Any], explain: Any, module: nn.Module | None) -> Maps:
    device = torch.device("cpu") if module is None else _device(module)
    if module is None:  # nothing but copies of the images
        size = rows_within(64 * images[:1].size, BATCH)
    else:
        size = _batch(module, _to_tensor(as_floats(images[:1]), device))
    parts = []
    for start in range(0, len(images), size):
        x = _to_tensor(as_floats(images[start : start + size]), device)
        parts.append(explain(x).detach().float().cpu().numpy())
    maps: Maps = np.concatenate(parts)
    return maps
