"""Detectors without a network of their own, on one pooled feature vector for each image."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.estimator import Array, batches
from insphere.detectors.base.network_state import seed_from
from insphere.detectors.pretrained.backbone_detector import CHUNK, BackboneDetector
from insphere.detectors.shallow.vector_detector import is_real, require
from insphere.errors import DataError
from insphere.features import choose_pooled, pooled_form
from insphere.nets.backbones import Stage, check_stages

Floats = NDArray[np.float64]
Statistic = Literal["mean", "max", "both"]
Normalize = Literal["root-l2", "l2"]
FOLDS = 5


class PooledDetector(BackboneDetector):
    """Pooled vectors of some stages, normalised, joined; see the concrete detectors."""

    stages: Any
    statistic: Statistic
    focus: float | None
    normalize: Normalize | None
    _stored: ClassVar[tuple[str, ...]]

    def _learn(self, F: Floats) -> None:
        """Set the attributes named in `_stored` from features of shape (n, d)."""
        raise NotImplementedError

    def _score(self, F: Floats) -> Floats:
        """Score features of shape (n, d)."""
        raise NotImplementedError

    def _fit(self, X: Array) -> None:
        self._require_images()
        self._open()
        self._adapt(X)
        F = self._pooled(X, fitting=True)
        if (F[0] == F).all():
            raise DataError(f"All {len(F)} training samples are identical: nothing to learn from.")
        self._learn(F)
        for name in self._stored:
            # One memory layout before saving and after loading: products are then the same bits.
            if isinstance(value := getattr(self, name), np.ndarray):
                setattr(self, name, np.ascontiguousarray(value))
        self.guard_findings_ = self._findings()

    def _training_scores(self, X: Array) -> Floats:
        """Score each fifth of the training images by what is learned from the others.

        Features have more dimensions than there may be images, so that what was learned from an
        image would always find it close.
        """
        F = self._pooled(X)
        rng = np.random.default_rng(seed_from(self.random_state))
        fold = rng.permutation(len(F)) % min(FOLDS, len(F))
        scores = np.empty(len(F))
        for left_out in np.unique(fold):
            part = fold == left_out
            other = copy.copy(self)
            other.callbacks = ()
            other._learn(F[~part])
            scores[part] = other._score(F[part])
        return scores

    def _anomaly_score(self, X: Array) -> Floats:
        parts = [self._score(self._pooled(part)) for part in batches(X, CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _pooled(self, X: Array, *, fitting: bool = False) -> Floats:
        card = self.backbone_
        require(
            self.focus is None or (is_real(self.focus) and self.focus > 0),
            f"focus is None or a positive number, but got {self.focus!r}.",
        )
        form = pooled_form(card, self._stages_in_use, self.focus)
        names = card.stage_names[-1:] if self.stages is None else check_stages(card, self.stages)
        self._check_in_use(names)
        values = self._extract(X, form, fitting=fitting)
        described = [card.stage(name) for name in form.stages]
        vectors = pooled_vectors(values, described, names, self.statistic, self.normalize)
        return vectors.astype(np.float64)

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays = {name: np.asarray(getattr(self, name)) for name in self._stored}
        return arrays | self._backbone_arrays(), self._backbone_meta() | {
            "guard_findings": self.guard_findings_
        }

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self._restore_backbone(meta, arrays)
        for name in self._stored:
            value = arrays[name]
            setattr(self, name, value if value.ndim else value.item())
        self.guard_findings_ = list(meta["guard_findings"])


def pooled_vectors(
    values: NDArray[np.float16],
    described: Sequence[Stage],
    names: Sequence[str],
    statistic: Statistic,
    normalize: Normalize | None,
) -> NDArray[np.float32]:
    """Choose stages and statistics, and normalise each of them by itself.

    Parameters
    ----------
    values : ndarray of float16, shape (N, 2 ΣC)
        Features of `pooled_form`.
    described : sequence of Stage
        The stages in it.
    names : sequence of str
        Those whose vectors to join.
    statistic : {"mean", "max", "both"}
        What was pooled.
    normalize : {"root-l2", "l2"} or None
        "l2": every vector has length 1. "root-l2": the same after a square root that keeps the
        sign, so that few large values do not decide alone (Perronnin et al. 2010).

    Returns
    -------
    ndarray of float32, shape (N, d)
    """
    require(
        normalize in ("root-l2", "l2", None),
        f'normalize is "root-l2", "l2" or None, but got {normalize!r}.',
    )
    require(
        statistic in ("mean", "max", "both"),
        f'statistic is "mean", "max" or "both", but got {statistic!r}.',
    )
    kinds = ("mean", "max") if statistic == "both" else (statistic,)
    parts = []
    for name in names:
        for kind in kinds:
            part: NDArray[Any] = choose_pooled(values, described, (name,), (kind,)).astype(
                np.float32
            )
            if normalize == "root-l2":
                part = np.sign(part) * np.sqrt(np.abs(part))
            if normalize is not None:
                length = np.linalg.norm(part, axis=1, keepdims=True)
                part = part / np.where(length > 0, length, 1)
            parts.append(part)
    joined: NDArray[np.float32] = np.concatenate(parts, axis=1)
    return joined
