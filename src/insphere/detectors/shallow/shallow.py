"""The rivals without a network, on pixels or tables, behind the same face as Deep SVDD."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.ensemble import IsolationForest
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel
from sklearn.svm import OneClassSVM

from insphere.detectors.base.estimator import Array, batches
from insphere.detectors.shallow.neighbors import KDEDetector, KNNDetector
from insphere.detectors.shallow.vector_detector import (
    BATCH,
    FlatDetector,
    Floats,
    is_real,
    require,
    require_count,
)

__all__ = [
    "IsolationForestDetector",
    "KDEDetector",
    "KNNDetector",
    "MahalanobisDetector",
    "OCSVMDetector",
]


class OCSVMDetector(FlatDetector):
    """One-class support vector machine with an RBF kernel (Schölkopf et al., 2001).

    The anomaly score is minus the decision function. With an RBF kernel this is the same model as
    the kernel SVDD of Tax and Duin (2004). Ruff et al. (2018) tune γ with labels of test images,
    an unfair advantage that `insphere.experiments.runs.labelled_data` reproduces; this default
    needs none. Fitting takes time and memory that grow with n².

    Parameters
    ----------
    nu : float, default=0.1
        Upper bound on the share of training images outside the support, in (0, 1].
    gamma : "scale" or float, default="scale"
        Kernel exp(−γ‖x − y‖²); "scale" is 1 / (d · variance) of the features.
    pca : float or None, default=0.95
        Project onto the principal components that keep this share of the variance first.
    preprocess : "gcn" or None, default=None
        "gcn" normalises the contrast of each image and maps the extremes to [0, 1] first, as the
        paper does; None takes pixels as they are.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    _stored = ("support_vectors_", "dual_coef_", "intercept_", "gamma_")

    def __init__(
        self,
        *,
        nu: float = 0.1,
        gamma: str | float = "scale",
        pca: float | None = 0.95,
        preprocess: str | None = None,
        contamination: float = 0.05,
        false_alarm_rate: float | None = None,
        calibration: float = 0.2,
        random_state: Any = None,
    ) -> None:
        self.nu = nu
        self.gamma = gamma
        self.pca = pca
        self.preprocess = preprocess
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.calibration = calibration
        self.random_state = random_state

    def _learn(self, F: Floats) -> None:
        require(is_real(self.nu) and 0 < self.nu <= 1, f"nu is in (0, 1], but got {self.nu!r}.")
        if self.gamma == "scale":
            self.gamma_ = float(1 / (F.shape[1] * F.var()))
        else:
            require(
                is_real(self.gamma) and float(self.gamma) > 0,
                f'gamma is "scale" or a positive number, but got {self.gamma!r}.',
            )
            self.gamma_ = float(self.gamma)
        machine = OneClassSVM(nu=self.nu, gamma=self.gamma_, cache_size=500).fit(F)
        self.support_vectors_ = machine.support_vectors_
        self.dual_coef_ = machine.dual_coef_[0]
        self.intercept_ = float(machine.intercept_[0])

    def _score(self, F: Floats) -> Floats:
        kernel = rbf_kernel(F, self.support_vectors_, gamma=self.gamma_)
        score: Floats = -(kernel @ self.dual_coef_) - self.intercept_
        return score

    def anomaly_map(self, X: Any) -> NDArray[np.float32]:
        """Return the squared distance of each pixel from a mean of support vectors.

        They are weighted by dual coefficient and kernel, so that near ones count.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images like those trained on.

        Returns
        -------
        ndarray of float32, shape (n, H, W)
            0 or more; higher is more anomalous.
        """
        return self._pixel_distances(X)

    def _expected(self, F: Floats) -> Floats:
        squared = euclidean_distances(F, self.support_vectors_, squared=True)
        weights = softmax(np.log(self.dual_coef_) - self.gamma_ * squared, axis=1)
        expected: Floats = weights @ self.support_vectors_
        return expected


class IsolationForestDetector(FlatDetector):
    """Isolation forest (Liu, Ting and Zhou, 2008): what few random cuts isolate is anomalous.

    The anomaly score is 2^(−mean path length / c(ψ)), in (0, 1].

    Parameters
    ----------
    n_estimators : int, default=100
        Number of trees.
    max_samples : int, default=256
        Training images a tree sees, ψ (all of them if there are fewer).
    pca : float or None, default=0.95
        Project onto the principal components that keep this share of the variance first. Cuts
        along raw pixels do worse: most pixels of a digit's border never vary.
    preprocess : "gcn" or None, default=None
        "gcn" normalises the contrast of each image and maps the extremes to [0, 1] first, as the
        paper does; None takes pixels as they are.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`; `random_state` also draws the trees.
    """

    _stored = (
        *("roots_", "feature_", "cut_", "left_", "right_", "path_length_"),
        *("depth_", "usual_path_length_"),
    )

    def __init__(
        self,
        *,
        n_estimators: int = 100,
        max_samples: int = 256,
        pca: float | None = 0.95,
        preprocess: str | None = None,
        contamination: float = 0.05,
        false_alarm_rate: float | None = None,
        calibration: float = 0.2,
        random_state: Any = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.pca = pca
        self.preprocess = preprocess
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.calibration = calibration
        self.random_state = random_state

    def _learn(self, F: Floats) -> None:
        require_count("n_estimators", self.n_estimators, 1)
        require_count("max_samples", self.max_samples, 2)
        psi = min(self.max_samples, len(F))
        forest = IsolationForest(
            n_estimators=self.n_estimators,
            max_samples=psi,
            random_state=self.random_state,
        ).fit(F)
        trees = [estimator.tree_ for estimator in forest.estimators_]
        sizes = np.array([tree.node_count for tree in trees])
        self.roots_ = np.cumsum(sizes) - sizes
        start = np.repeat(self.roots_, sizes)
        itself = np.arange(sizes.sum())

        def joined(name: str) -> Array:
            return np.concatenate([getattr(tree, name) for tree in trees])

        # All trees in one table; a leaf is its own child, so every descent may take depth_ steps.
        leaf = joined("children_left") < 0
        self.feature_ = np.where(leaf, 0, joined("feature"))
        self.cut_ = np.where(leaf, 0.0, joined("threshold"))
        self.left_ = np.where(leaf, itself, joined("children_left") + start)
        self.right_ = np.where(leaf, itself, joined("children_right") + start)
        self.depth_ = max(tree.max_depth for tree in trees)
        level = np.concatenate([tree.compute_node_depths() for tree in trees]) - 1
        self.path_length_ = level + _usual_path_length(joined("n_node_samples"))
        self.usual_path_length_ = float(_usual_path_length(np.array([psi]))[0])

    def _score(self, F: Floats) -> Floats:
        values = F.astype(np.float32)  # the precision in which the cuts were drawn
        node = np.repeat(self.roots_[None], len(F), axis=0)
        for _ in range(self.depth_):
            below = np.take_along_axis(values, self.feature_[node], axis=1) <= self.cut_[node]
            node = np.where(below, self.left_[node], self.right_[node])
        score: Floats = 2.0 ** (-self.path_length_[node].mean(axis=1) / self.usual_path_length_)
        return score


class MahalanobisDetector(FlatDetector):
    """Mahalanobis distance to the mean of the training images, within their principal components.

    Parameters
    ----------
    pca : float, default=0.95
        Share of the variance whose principal components are kept; the rest, where the covariance
        cannot be inverted reliably, is left out.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    _stored = ("deviation_",)

    def __init__(
        self,
        *,
        pca: float = 0.95,
        contamination: float = 0.05,
        false_alarm_rate: float | None = None,
        calibration: float = 0.2,
        random_state: Any = None,
    ) -> None:
        self.pca = pca
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.calibration = calibration
        self.random_state = random_state

    def _learn(self, F: Floats) -> None:
        require(self.pca is not None, "The Mahalanobis distance needs a number for pca.")
        self.deviation_ = F.std(axis=0, ddof=1)

    def _score(self, F: Floats) -> Floats:
        distance: Floats = np.linalg.norm(F / self.deviation_, axis=1)
        return distance

    def anomaly_map(self, X: Any) -> NDArray[np.float32]:
        """Return how much each pixel adds to the squared distance.

        What a pixel adds is its deviation from the mean image times that which the covariance
        makes of all deviations; negative parts, where a pixel speaks for normal, are left out.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images like those trained on.

        Returns
        -------
        ndarray of float32, shape (n, H, W)
            0 or more; higher is more anomalous.
        """
        data = self._read_images(X)
        height, width, channels = data.shape[1:]
        parts = []
        for part in batches(data, BATCH):
            deviation = self._pixels(part) - self.mean_
            weighed = (deviation @ self.components_.T / self.deviation_**2) @ self.components_
            added = (deviation * weighed).reshape(-1, height, width, channels).sum(axis=3)
            parts.append(added.clip(min=0).astype(np.float32))
        joined: NDArray[np.float32] = np.concatenate(parts)
        return joined


def _usual_path_length(n: Array) -> Floats:
    """Return c(n), the mean depth of an unsuccessful search in a binary tree of n items.

    Liu, Ting and Zhou (2008), equation 1, with the harmonic number ln(i) + 0.5772….
    """
    i = np.maximum(n - 1, 1).astype(np.float64)
    length = 2 * (np.log(i) + np.euler_gamma) - 2 * i / np.maximum(n, 1)
    depth: Floats = np.where(n > 2, length, (n == 2).astype(np.float64))
    return depth
