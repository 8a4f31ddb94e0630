"""Isolation forest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import IsolationForest

from insphere.detectors.base.checks import require_count
from insphere.detectors.base.estimator import Array
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.shallow.vector_detector import ALL_THAT_VARY, FlatDetector, Floats

if TYPE_CHECKING:
    from torch import nn


@parameters
class IsolationForestDetector(FlatDetector):
    """Isolation forest (Liu, Ting and Zhou, 2008): how few random cuts isolate a sample.

    The anomaly score is 2^(−mean path length / c(ψ)), in (0, 1].

    Parameters
    ----------
    n_estimators : int, default=100
        Number of trees.
    max_samples : int, default=256
        Number ψ of training images for each tree (all if there are fewer).
    pca : float, "auto" or None, default="auto"
        First project onto the principal components that keep this share of the variance; "auto" is
        0.95 for images, and all that vary for tables: a cut then crosses several columns. Cuts
        along raw pixels do worse: most pixels of a digit's border never vary.
    preprocess : "gcn" or None, default=None
        "gcn" normalises the contrast of each image and maps the extremes to [0, 1] first, as the
        paper does; None takes pixels as they are.
    features
        Use a pretrained network instead of pixels; see `FlatDetector`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`; `random_state` also draws the trees.
    """

    _folds = 10  # a forest takes longer than the others
    card = MethodCard(
        key="isolation-forest",
        title="Isolation forest",
        family="shallow",
        summary="number of random cuts that isolate an image",
    )
    _table_share = ALL_THAT_VARY
    _stored = (
        *("roots_", "feature_", "cut_", "left_", "right_", "path_length_"),
        *("depth_", "usual_path_length_"),
    )

    n_estimators: int = 100
    max_samples: int = 256
    pca: float | str | None = "auto"
    preprocess: str | None = None

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

        # All trees in one table; a leaf is its own child, so every descent can take depth_ steps.
        leaf = joined("children_left") < 0
        self.feature_ = np.where(leaf, 0, joined("feature"))
        self.cut_ = np.where(leaf, 0.0, joined("threshold"))
        self.left_ = np.where(leaf, itself, joined("children_left") + start)
        self.right_ = np.where(leaf, itself, joined("children_right") + start)
        self.depth_ = max(tree.max_depth for tree in trees)
        level = np.concatenate([tree.compute_node_depths() for tree in trees]) - 1
        self.path_length_ = level + _usual_path_length(joined("n_node_samples"))
        self.usual_path_length_ = float(_usual_path_length(np.array([psi]))[0])

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        super()._set_state(arrays, meta)
        n, d = len(self.cut_), len(self.components_) or self.mean_.size
        tables = (self.feature_, self.left_, self.right_, self.path_length_)
        if any(table.shape != (n,) for table in tables):
            raise ValueError("the tables of the trees have different lengths")
        for values, most in ((self.roots_, n), (self.left_, n), (self.right_, n), (tables[0], d)):
            if values.size == 0 or values.min() < 0 or values.max() >= most:
                raise ValueError("a tree leads outside of its table")
        if not 0 <= self.depth_ <= n:
            raise ValueError("trees are deeper than they have nodes")

    def _head(self) -> nn.Module:
        from insphere.detectors.shallow.scoring_modules import Forest

        names = ("roots", "feature", "cut", "left", "right", "path_length")
        tables = {name: getattr(self, f"{name}_") for name in names}
        return Forest(tables, self.depth_, self.usual_path_length_)

    def _score(self, F: Floats) -> Floats:
        values = F.astype(np.float32)  # the precision of the cuts
        node = np.repeat(self.roots_[None], len(F), axis=0)
        for _ in range(self.depth_):
            below = np.take_along_axis(values, self.feature_[node], axis=1) <= self.cut_[node]
            node = np.where(below, self.left_[node], self.right_[node])
        score: Floats = 2.0 ** (-self.path_length_[node].mean(axis=1) / self.usual_path_length_)
        return score


def _usual_path_length(n: Array) -> Floats:
    """Return c(n), the mean depth of an unsuccessful search in a binary tree of n items.

    Liu, Ting and Zhou (2008), equation 1, with the harmonic number ln(i) + 0.5772….
    """
    i = np.maximum(n - 1, 1).astype(np.float64)
    length = 2 * (np.log(i) + np.euler_gamma) - 2 * i / np.maximum(n, 1)
    depth: Floats = np.where(n > 2, length, (n == 2).astype(np.float64))
    return depth
