"""How strongly features point to other classes: those that the networks were pretrained to name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from insphere.detectors.base.checks import require
from insphere.nets.backbones.joined import JoinedBackbone
from insphere.nets.backbones.network import Backbone

Floats = NDArray[np.float64]
Layers = Sequence[Floats]
"""Of each network, the weight (K, C) of the layer that named its K classes."""
ROOTS = ("root", "root-l2")  # values of `normalize` that take roots
SMALLEST = float(np.finfo(np.float32).tiny)  # to divide by


def naming_layers(network: Backbone) -> Layers:
    """Return the weights from the mean of the last map to the classes of the pretraining.

    Parameters
    ----------
    network : Backbone
        One network, or several that are joined.

    Raises
    ------
    SpecError
        If a network has no such layer, or they name different numbers of classes.
    """
    members = network.members if isinstance(network, JoinedBackbone) else [network]
    layers = [layer for one in members if isinstance(layer := one.classifier, nn.Linear)]
    require(
        len(layers) == len(members) and len({layer.out_features for layer in layers}) == 1,
        "Evidence for other classes takes backbones with the layer that named the classes of their "
        f"pretraining, such as efficientnet-lite0, but got {network.card.name} "
        f"({network.card.weights}).",
    )
    return [layer.weight.detach().double().cpu().numpy() for layer in layers]


def alternative_deviations(
    layers: Layers, F: Floats, means: Floats, codes: NDArray[np.int64]
) -> Floats:
    """Return the standard deviations σ_k within the normal classes, (M, K); see below.

    Parameters
    ----------
    layers : sequence of ndarray
        See `naming_layers`; one after the other they take the d features.
    F : ndarray, shape (n, d)
        Features of normal images.
    means : ndarray, shape (C, d)
        Their mean in each normal class.
    codes : ndarray of int64, shape (n,)
        The class of each image.
    """
    ends = np.cumsum([layer.shape[1] for layer in layers])
    rest = np.split(F - means[codes], ends[:-1], axis=1)
    squares = [
        np.square(own @ layer.T).mean(axis=0) for layer, own in zip(layers, rest, strict=True)
    ]
    return np.maximum(np.sqrt(squares), SMALLEST)


def alternative_weights(layers: Layers, deviations: Floats) -> Floats:
    """Return the matrix from features to their evidence for each alternative, (K, d).

    An alternative k is one of the K classes that the networks were pretrained to name. The layer
    that named them has a direction w_k: if the features of all classes are normally distributed
    with one covariance, w_k·f is what tells k from the others (linear discriminant analysis). For
    normal images with mean μ, z_k = w_k·(f − μ) / σ_k is then the evidence that an image is moved
    towards k. σ_k is the standard deviation of w_k·f within the normal classes, so that what all
    of these images have in common, such as their sharpness, does not count. The z_k of M networks
    are added and divided by √M.

    Rows are rounded to float32, in which they are exported.
    """
    scaled = [
        layer / own[:, None] / np.sqrt(len(layers))
        for layer, own in zip(layers, deviations, strict=True)
    ]
    return np.concatenate(scaled, axis=1).astype(np.float32).astype(np.float64)


def before_root(F: Floats, normalize: str | None) -> Floats:
    """Return features as they were before the root of `pooled_vectors`, but for their length."""
    return F * np.abs(F) if normalize in ROOTS else F
