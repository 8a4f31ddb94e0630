"""The base of detectors on one pooled feature vector for each image, without a trained head."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from insphere.detectors.base.by_class import ByClass
from insphere.detectors.base.estimator import Array
from insphere.detectors.base.network_detector import NetworkDetector
from insphere.detectors.base.network_state import seed_from
from insphere.detectors.base.parameters import parameters
from insphere.detectors.base.score_modules import NearestClass
from insphere.detectors.frozen_features.pooled_features import Floats, PooledFeatures
from insphere.detectors.frozen_features.pretrained_network import CHUNK, require_images
from insphere.errors import DataError

FOLDS = 5


@parameters
class PooledDetector(ByClass, NetworkDetector, PooledFeatures):
    """A detector on the pooled vectors of some stages; see the concrete detectors."""

    _not_saved = PooledFeatures._not_saved
    _stored: ClassVar[tuple[str, ...]]
    _scores_as_if_new = True

    def _learn(self, F: Floats) -> None:
        """Set the attributes named in `_stored` from features of shape (n, d)."""
        raise NotImplementedError

    def _learn_part(self, F: Floats, part: NDArray[np.bool_]) -> None:
        """Learn from some of the training features, as `_learn` does from all."""
        self._learn(F[part])

    def _score(self, F: Floats) -> Floats:
        """Score features of shape (n, d)."""
        raise NotImplementedError

    def _head(self) -> nn.Module:
        """Return what `_score` computes, as a module on vectors (N, d)."""
        raise NotImplementedError

    def _module(self) -> nn.Module:
        heads = [member._head() for member in self.members_]
        head = NearestClass(heads, self.radii_) if heads else self._head()
        head = head.to(self._extractor.device)
        return nn.Sequential(*cast(nn.Sequential, self._vector_module()), head).eval()

    def _prepare(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        require_images(X, self)
        self._open()
        self._adapt(X, labels)
        self.guard_findings_ = self._findings()

    def _learn_from(self, X: Array) -> None:
        F = self._pooled(X, fitting=True)
        if (F[0] == F).all():
            raise DataError(f"All {len(F)} training samples are identical: nothing to learn from.")
        self._learn(F)
        for name in self._stored:
            # The same memory layout before saving and after loading gives bit-identical products.
            if isinstance(value := getattr(self, name), np.ndarray):
                setattr(self, name, np.ascontiguousarray(value))

    def _represent(self, X: Array) -> Floats:
        return self._pooled(X)

    def _score_represented(self, F: Array) -> Floats:
        return self._score(F)

    def _at_once(self, X: Array) -> int:
        return CHUNK

    def _as_new(self, X: Array) -> Floats:
        """Score each fifth of the training images with a detector fitted to the others.

        Features can have more dimensions than there are images. A detector would then give
        its own training images too low scores.
        """
        F = self._pooled(X)
        rng = np.random.default_rng(seed_from(self.random_state))
        fold = rng.permutation(len(F)) % min(FOLDS, len(F))
        scores = np.empty(len(F))
        for left_out in np.unique(fold):
            part = fold == left_out
            other = copy.copy(self)
            other.callbacks = ()
            other._learn_part(F, ~part)
            scores[part] = other._score(F[part])
        return scores

    def _learned(self) -> dict[str, Array]:
        return {name: np.asarray(getattr(self, name)) for name in self._stored}

    def _set_learned(self, arrays: Mapping[str, Array]) -> None:
        for name in self._stored:
            value = arrays[name]
            setattr(self, name, value if value.ndim else value.item())

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        meta = self._backbone_meta() | self._classes_meta()
        return self._arrays_by_class() | self._backbone_arrays(), meta | {
            "guard_findings": self.guard_findings_
        }

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self._restore_backbone(meta, arrays)
        self._restore_classes(arrays, meta)
        self.guard_findings_ = list(meta["guard_findings"])
