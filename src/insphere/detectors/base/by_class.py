"""Detectors that learn their statistics for each of several normal classes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.class_scores import ClassScores
from insphere.detectors.base.estimator import Array, batches
from insphere.errors import DataError, SpecError

Floats = NDArray[np.float64]
RADII = "class_radii"  # an array of saved models with classes
OUTSIDE = 0.1  # share of a class beyond its radius
FEW = 10  # members of a class that has no radius of its own


class ByClass(ClassScores):
    """A detector that learns from `_represent` of samples, once or for each normal class.

    With classes, each has statistics of its own on the features that all share. Its radius is the
    90 % quantile of the scores that its samples would get were they new. The score of a sample is
    the smallest of its scores by the classes, each in units of the radius of its class.

    Attributes
    ----------
    classes_ : list
        Classes of the normal samples; empty without classes.
    members_ : list of Self
        A detector with the statistics of each class; empty without classes.
    radii_ : ndarray of float64, shape (n_classes,)
        The radius of each.
    """

    _takes: ClassVar[tuple[str, ...]] = ("labels",)

    # Whether all classes have the radius of all together: where a network was trained to draw the
    # samples of each class together, their distances do not say how far new ones of it will lie.
    _one_radius = False

    members_: list[Self]
    radii_: Floats
    _codes: NDArray[np.int64] | None  # places of the training samples' classes; not saved

    # ------------------------------------------------------------------ for subclasses

    def _prepare(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        """Make ready what all classes share, from all normal samples and their classes."""

    def _learn_from(self, X: Array) -> Array | None:
        """Learn statistics from samples; return their scores as if new if these are known."""
        raise NotImplementedError

    def _represent(self, X: Array) -> Array:
        """Return what the classes share of samples, such as features of a network."""
        raise NotImplementedError

    def _score_represented(self, F: Array) -> Floats:
        """Score what `_represent` returned."""
        raise NotImplementedError

    def _as_new(self, X: Array) -> Array:
        """Return the scores of the samples that `_learn_from` got, as if each were new."""
        return self._in_batches(X, self._score_represented)

    def _learned(self) -> dict[str, Array]:
        """Return the statistics by name."""
        raise NotImplementedError

    def _set_learned(self, arrays: Mapping[str, Array]) -> None:
        """Restore what `_learned` returned."""
        raise NotImplementedError

    def _at_once(self, X: Array) -> int:
        """Return how many samples are represented at once."""
        raise NotImplementedError

    # ------------------------------------------------------------------ public

    def add_class(self, X: Any, name: Any) -> Self:
        """Add another normal class; the threshold and the other classes stay as they are.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Normal samples of the new class, at least two.
        name : int or str
            Its name, of the same type as the other classes.

        Returns
        -------
        self

        Raises
        ------
        SpecError
            If `fit` got no classes, or the class exists.
        DataError
            If there are fewer than two samples.
        """
        self._check_classes()
        if name in self.classes_:
            raise SpecError(f"There is a class {name!r} already; give the new one another name.")
        data = self._read(X)
        member, own = self._member(data, name)
        self.members_ = [*self.members_, member]
        radius = float(self.radii_[0]) if self._one_radius else class_radius(own)
        self.radii_ = np.append(self.radii_, radius)
        self.classes_ = [*self.classes_, name]
        return self

    # ------------------------------------------------------------------ OneClassDetector

    def _fit(self, X: Array, *, labels: NDArray[np.int64] | None = None) -> Array | None:
        self.members_ = []
        self.radii_ = np.empty(0)
        self._own: Floats | None = None
        self._prepare(X, labels)
        if labels is None:
            self.classes_ = []
            return self._learn_from(X)
        own = np.empty(len(X))
        for code, name in enumerate(self.classes_):
            mine = labels == code
            member, own[mine] = self._member(X[mine], name)
            self.members_.append(member)
        common = class_radius(own)
        self.radii_ = np.array(
            [
                common
                if self._one_radius or (labels == code).sum() < FEW
                else class_radius(own[labels == code])
                for code in range(len(self.classes_))
            ]
        )
        self._own, self._codes = own, labels  # until the next fit; not saved
        return None

    def _member(self, X: Array, name: Any) -> tuple[Self, Array]:
        """Return a detector with the statistics of samples of a class, and their scores as new."""
        if len(X) < 2:
            raise DataError(f"A class needs at least two samples, but {name!r} has {len(X)}.")
        member = copy.copy(self)
        member.members_, member._own = [], None
        scores = member._learn_from(X)
        return member, member._as_new(X) if scores is None else scores

    def _training_scores(self, X: Array) -> Array:
        if not self.members_:
            return self._as_new(X)
        found = self._class_matrix(X)
        if self._own is not None and len(self._own) == len(X):
            rows = np.arange(len(X))
            found[rows, self._codes] = self._own / self.radii_[self._codes]
        nearest: Floats = found.min(axis=1)
        return nearest

    def _anomaly_score(self, X: Array) -> Array:
        if self.members_:
            nearest: Floats = self._class_matrix(X).min(axis=1)
            return nearest
        return self._in_batches(X, self._score_represented)

    # ------------------------------------------------------------------ inside

    def _class_matrix(self, X: Array) -> Floats:
        return self._in_batches(X, self._by_class, len(self.members_))

    def _in_batches(self, X: Array, score: Callable[[Array], Array], *width: int) -> Array:
        """Return what `score` makes of the representations of X, of this width for each sample."""
        parts = [score(self._represent(one)) for one in batches(X, self._at_once(X))]
        return np.concatenate(parts) if parts else np.empty((0, *width))

    def _by_class(self, F: Array) -> Floats:
        """Return the scores by each class in units of its radius, shape (n, n_classes)."""
        found = [member._score_represented(F) for member in self.members_]
        scaled: Floats = np.stack(found, axis=1) / self.radii_
        return scaled

    def _arrays_by_class(self) -> dict[str, Array]:
        """Return the statistics of all classes by name, or those without classes."""
        if not self.members_:
            return self._learned()
        found: dict[str, Array] = {RADII: self.radii_}
        for place, member in enumerate(self.members_):
            found |= {f"class{place}/{name}": a for name, a in member._learned().items()}
        return found

    def _restore_classes(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Restore what `_arrays_by_class` returned; everything shared is restored already."""
        self.classes_ = list(meta.get("classes", ()))
        self.members_, self._own, self.radii_ = [], None, np.empty(0)
        if not self.classes_:
            self._set_learned(arrays)
            return
        for place in range(len(self.classes_)):
            prefix = f"class{place}/"
            own = {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}
            member = copy.copy(self)
            member.members_ = []
            member._set_learned(own)
            self.members_.append(member)
        self.radii_ = np.asarray(arrays[RADII])
        if self.radii_.shape != (len(self.members_),) or not (self.radii_ > 0).all():
            raise ValueError("the radii do not fit the classes")

    def _classes_meta(self) -> dict[str, Any]:
        return {"classes": self.classes_} if self.classes_ else {}


def class_radius(scores: Array) -> float:
    """Return the (1 − `OUTSIDE`) quantile, or a tiny number if it is 0."""
    kept = max(1, round((1 - OUTSIDE) * len(scores)))
    return max(float(np.sort(scores)[kept - 1]), float(np.finfo(np.float64).tiny))
