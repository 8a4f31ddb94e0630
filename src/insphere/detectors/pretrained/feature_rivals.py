"""What stands beside FPSVDD on the same features: neighbours, Mahalanobis, principal components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from insphere.detectors.base.estimator import Array
from insphere.detectors.pretrained.pooled_detector import (
    Floats,
    Normalize,
    PooledDetector,
    Statistic,
)
from insphere.detectors.shallow.vector_detector import is_real, require, require_count
from insphere.features.extract import Resampling
from insphere.nets.backbones import DEFAULT
from insphere.training.callbacks import Callback
from insphere.training.device import Precision
from insphere.training.finetune import FinetuneSpec


class FeatureKNN(PooledDetector):
    """Mean distance to the nearest training images, in the features of a pretrained network.

    The threshold rests on leave-one-out distances, since a training image is its own nearest.

    Parameters
    ----------
    n_neighbors : int, default=2
        Neighbours whose Euclidean distances are averaged.
    backbone : str, default="efficientnet-lite0"
        Network; see `insphere.nets.backbones.load_backbone`.
    weights : str, path or None, default=None
        File of its weights; None takes the pretrained ones, "random" none.
    stages : sequence of str or None, default=None
        Stages whose pooled vectors are joined; None takes the last one.
    statistic : {"mean", "max", "both"}, default="mean"
        What is pooled over each stage's map.
    focus : float or None, default=None
        Let the middle of the image count more in the mean: the weight of a place falls with its
        distance from the middle like a normal density of this standard deviation, where half the
        side of the image is 1. None weighs all places alike.
    normalize : {"root-l2", "l2"} or None, default="root-l2"
        How each vector is scaled; see
        `insphere.detectors.pretrained.pooled_detector.pooled_vectors`.
    resolution : int or None, default=None
        Pixels that images are resized to; None is the backbone's own.
    resampling : {"bilinear", "bicubic"}, default="bicubic"
        How.
    mirrored : bool, default=False
        Average the features of each image and of its mirror image.
    finetune : int, FinetuneSpec, dict or None, default=None
        Fine-tune so many of the last stages on the training normals first, and take features from
        these; a spec says more, see `insphere.training.finetune.FinetuneSpec`.
    cache : bool, default=True
        Keep features on disk; see `insphere.features.store`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Number format of the network.
    callbacks : sequence of Callback, default=()
        Followers of the extraction.
    """

    _stored = ("training_",)

    def __init__(
        self,
        *,
        n_neighbors: int = 2,
        backbone: str = DEFAULT,
        weights: str | PathLike[str] | None = None,
        stages: Sequence[str] | None = None,
        statistic: Statistic = "mean",
        focus: float | None = None,
        normalize: Normalize | None = "root-l2",
        resolution: int | None = None,
        resampling: Resampling = "bicubic",
        mirrored: bool = False,
        finetune: int | Mapping[str, Any] | FinetuneSpec | None = None,
        cache: bool = True,
        contamination: float = 0.05,
        false_alarm_rate: float | None = None,
        calibration: float = 0.2,
        device: str = "auto",
        precision: Precision = "auto",
        callbacks: Sequence[Callback] = (),
        random_state: Any = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.backbone = backbone
        self.weights = weights
        self.stages = stages
        self.statistic = statistic
        self.focus = focus
        self.normalize = normalize
        self.resolution = resolution
        self.resampling = resampling
        self.mirrored = mirrored
        self.finetune = finetune
        self.cache = cache
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.calibration = calibration
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.random_state = random_state

    def _learn(self, F: Floats) -> None:
        require_count("n_neighbors", self.n_neighbors, 1)
        require(
            len(F) > self.n_neighbors,
            f"n_neighbors={self.n_neighbors} needs more than {self.n_neighbors} training samples, "
            f"but there are {len(F)}.",
        )
        self.training_ = F

    def _score(self, F: Floats) -> Floats:
        return self._mean_distance(F)

    def _training_scores(self, X: Array) -> Floats:
        return self._mean_distance(None)

    def _mean_distance(self, F: Floats | None) -> Floats:
        search = NearestNeighbors(n_neighbors=self.n_neighbors, algorithm="brute")
        distances: Floats = search.fit(self.training_).kneighbors(F)[0]
        mean: Floats = distances.mean(axis=1)
        return mean


class FeatureMahalanobis(PooledDetector):
    """Mahalanobis distance to the mean of the training features (Rippel et al. 2020).

    The covariance is shrunk towards a multiple of the identity by the share that Ledoit and Wolf
    (2004) compute from the training features, so that it can be inverted whatever their number.

    Parameters
    ----------
    backbone, weights, stages, statistic, focus, normalize, resolution, resampling
    mirrored, finetune, cache
        See `FeatureKNN`.
    contamination, false_alarm_rate, calibration, device, precision, callbacks, random_state
        See `FeatureKNN`.
    """

    _stored = ("mean_", "whitening_")

    def __init__(
        self,
        *,
        backbone: str = DEFAULT,
        weights: str | PathLike[str] | None = None,
        stages: Sequence[str] | None = None,
        statistic: Statistic = "mean",
        focus: float | None = None,
        normalize: Normalize | None = "root-l2",
        resolution: int | None = None,
        resampling: Resampling = "bicubic",
        mirrored: bool = False,
        finetune: int | Mapping[str, Any] | FinetuneSpec | None = None,
        cache: bool = True,
        contamination: float = 0.05,
        false_alarm_rate: float | None = None,
        calibration: float = 0.2,
        device: str = "auto",
        precision: Precision = "auto",
        callbacks: Sequence[Callback] = (),
        random_state: Any = None,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.stages = stages
        self.statistic = statistic
        self.focus = focus
        self.normalize = normalize
        self.resolution = resolution
        self.resampling = resampling
        self.mirrored = mirrored
        self.finetune = finetune
        self.cache = cache
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.calibration = calibration
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.random_state = random_state

    def _learn(self, F: Floats) -> None:
        estimate = LedoitWolf(store_precision=False).fit(F)
        variances, directions = np.linalg.eigh(estimate.covariance_)
        smallest = np.finfo(np.float64).eps * max(float(variances[-1]), np.finfo(np.float64).tiny)
        self.mean_ = estimate.location_
        self.whitening_ = directions / np.sqrt(np.maximum(variances, smallest))

    def _score(self, F: Floats) -> Floats:
        distance: Floats = np.linalg.norm((F - self.mean_) @ self.whitening_, axis=1)
        return distance


class FeaturePCA(PooledDetector):
    """Error of the reconstruction from the principal components of the training features.

    Parameters
    ----------
    pca : float, default=0.95
        Share of the variance that the components keep, in (0, 1).
    backbone, weights, stages, statistic, focus, normalize, resolution, resampling
    mirrored, finetune, cache
        See `FeatureKNN`.
    contamination, false_alarm_rate, calibration, device, precision, callbacks, random_state
        See `FeatureKNN`.
    """

    _stored = ("mean_", "components_")

    def __init__(
        self,
        *,
        pca: float = 0.95,
        backbone: str = DEFAULT,
        weights: str | PathLike[str] | None = None,
        stages: Sequence[str] | None = None,
        statistic: Statistic = "mean",
        focus: float | None = None,
        normalize: Normalize | None = "root-l2",
        resolution: int | None = None,
        resampling: Resampling = "bicubic",
        mirrored: bool = False,
        finetune: int | Mapping[str, Any] | FinetuneSpec | None = None,
        cache: bool = True,
        contamination: float = 0.05,
        false_alarm_rate: float | None = None,
        calibration: float = 0.2,
        device: str = "auto",
        precision: Precision = "auto",
        callbacks: Sequence[Callback] = (),
        random_state: Any = None,
    ) -> None:
        self.pca = pca
        self.backbone = backbone
        self.weights = weights
        self.stages = stages
        self.statistic = statistic
        self.focus = focus
        self.normalize = normalize
        self.resolution = resolution
        self.resampling = resampling
        self.mirrored = mirrored
        self.finetune = finetune
        self.cache = cache
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.calibration = calibration
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.random_state = random_state

    def _learn(self, F: Floats) -> None:
        require(
            is_real(self.pca) and 0 < self.pca < 1,
            f"pca is the share of variance to keep, between 0 and 1, but got {self.pca!r}.",
        )
        solver = "covariance_eigh" if F.shape[1] <= len(F) else "full"
        fitted = PCA(n_components=self.pca, svd_solver=solver).fit(F)
        self.mean_, self.components_ = fitted.mean_, fitted.components_

    def _score(self, F: Floats) -> Floats:
        centered = F - self.mean_
        rest = centered - (centered @ self.components_.T) @ self.components_
        error: Floats = np.square(rest).sum(axis=1)
        return error
