"""Several methods together: their p-values are combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.class_scores import ClassScores
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_state import seed_from
from insphere.detectors.base.parameters import parameters
from insphere.detectors.combined.look_alikes import look_alikes
from insphere.detectors.registry import build_detector, check_installed, detector_class
from insphere.errors import DataError, SpecError
from insphere.scoring.conformal import held_out
from insphere.scoring.severity import SeverityScale, Tail
from insphere.training.callbacks import Callback

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]
SHARE = 0.2
"""Share of the images that calibrate the members."""
FEWEST = 5
CALIBRATION, MAPS = "calibration", "maps"


@parameters
class Combination(ClassScores):
    """The mean severity over several detectors (Fisher's way to combine p-values).

    Each member is fitted to four fifths of the images. The scores of the others turn each of its
    scores into a severity: −log10 of how rare it is among normal images, continued beyond them (see
    `insphere.scoring.severity`). The score is the mean of the severities: up to a factor the
    logarithm of the product of the p-values (Fisher 1925). The heat map is the mean of the maps of
    those members that have one, each in standard deviations above the mean of its pixels on
    the calibration images.

    Images of one of the `groups` that `fit` is given are all held out, or none of them. Without
    groups, images that resemble one another stay together (see
    `insphere.detectors.combined.look_alikes`). A member that remembers its images would otherwise
    be calibrated on other exposures of parts that it knows: its severities of new parts would be
    too high, and outweigh the other members.

    Members that take the classes of normal images get them, as ``fit(X, y)``; then all have to. The
    score by class k is the score plus the mean severity of the members' scores by k, less that by
    the nearest class. Classes cannot be added later, because the severities of all members belong
    together.

    Parameters
    ----------
    members : sequence of str or dict
        Methods by name; or with options, ``{"method": "knn", "params": {"n_neighbors": 3}}``.
    look_alikes : bool, default=True
        Whether images that resemble one another stay together without `groups`.
    contamination, false_alarm_rate, calibration
        How the threshold is placed; see `OneClassDetector`.
    checkpoint_dir : path, optional
        Folder of the checkpoints of members that write them.
    device : str, default="auto"
        Device of members that have a network.
    callbacks : sequence of Callback, default=()
        Objects that follow the training of members that accept them.
    random_state : int, RandomState or None, default=None
        Seed of all randomness, which is used in `fit` only.

    Attributes
    ----------
    members_ : list of OneClassDetector
        The fitted members.
    classes_ : list
        Classes of the normal images; empty without classes.
    guard_findings_ : list of str
        Messages of the members.
    """

    card = MethodCard(
        key="combination",
        title="Combination of methods",
        family="combined",
        summary="mean severity (combined p-values) of several methods",
        takes=("images",),
        takes_classes=True,
    )

    members: Sequence[str | Mapping[str, Any]] = ("mahalanobis", "knn")
    look_alikes: bool = True
    checkpoint_dir: str | PathLike[str] | None = None
    device: str = "auto"
    callbacks: Sequence[Callback] = ()

    _takes = ("labels", "groups")

    # ------------------------------------------------------------------ public

    def anomaly_map(self, X: Any) -> Array:
        """Return the mean of the members' maps, each on the scale of its normal images.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images of the same shape as the training images.

        Returns
        -------
        ndarray of float32, shape (N, H, W)
            0 or more; higher is more anomalous.

        Raises
        ------
        SpecError
            If no member has a map.
        """
        data = self._read_images(X)
        total = np.zeros(data.shape[:3], dtype=np.float32)
        count = 0
        for member, scale in zip(self.members_, self._map_scales, strict=True):
            if scale is not None:
                total += (_map(member, data) - scale[0]) / scale[1]
                count += 1
        if not count:
            raise SpecError("None of the combined methods has a heat map; use occlusion.")
        mean: Array = np.maximum(total / count, 0)
        return mean

    @property
    def uses_pretrained(self) -> bool:
        """Whether a member processes each image by a pretrained network."""
        return any(detector_class(method).card.needs_pretrained for method, _ in self._listed())

    # ------------------------------------------------------------------ OneClassDetector

    def _read_labels(self, y: Any) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None]:
        codes, normal = super()._read_labels(y)
        if codes is not None and (counts := np.bincount(codes)).min() < 2:
            name = self.classes_[counts.argmin()]
            raise DataError(f"A class needs at least two images, but {name!r} has one.")
        return codes, normal

    def _fit(
        self,
        X: Array,
        *,
        labels: NDArray[np.int64] | None = None,
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        self._require_images("combine the scores of detectors for tables yourself.")
        listed = self._listed()
        if labels is None:
            self.classes_ = []
        else:
            self._check_classes_fit([method for method, _ in listed])
        if len(listed) < 2:
            raise SpecError("A combination needs at least two methods in members.")
        if len(X) < FEWEST:
            raise SpecError(f"A combination needs at least {FEWEST} images, but got {len(X)}.")
        seed = seed_from(self.random_state)
        held = self._held_out_members(X, labels, groups, seed)
        names = None if labels is None else self._names_of(labels, ~held)
        self.members_: list[OneClassDetector] = []
        self._scales: list[SeverityScale] = []
        self._map_scales: list[tuple[float, float] | None] = []
        self.guard_findings_: list[str] = []
        for number, (method, params) in enumerate(listed):
            member = self._member(method, params, seed, number)
            member.fit(X[~held], names, groups=None if groups is None else groups[~held])
            self._scales.append(SeverityScale(member._score_read(member._read(X[held]))))
            self._map_scales.append(_map_scale(member, X[held]))
            self.members_.append(member)
            self.guard_findings_ += getattr(member, "guard_findings_", [])

    def _anomaly_score(self, X: Array) -> Array:
        severities = [
            scale(member._score_read(member._read(X)))
            for member, scale in zip(self.members_, self._scales, strict=True)
        ]
        mean: Array = np.mean(severities, axis=0)
        return mean

    def _class_matrix(self, X: Array) -> NDArray[np.float64]:
        each = []
        for member, scale in zip(self.members_, self._scales, strict=True):
            found = cast("Any", member).class_scores(X)
            each.append(scale(found.ravel()).reshape(found.shape))
        by_class, score = np.mean(each, axis=0), np.mean(np.min(each, axis=2), axis=0)
        behind = by_class - by_class.min(axis=1, keepdims=True)
        matrix: NDArray[np.float64] = score[:, None] + behind
        return matrix

    def _module(self) -> nn.Module:
        from insphere.detectors.base.score_modules import MeanSeverity

        return MeanSeverity([member.scoring_module() for member in self.members_], self._scales)

    def _map_module(self) -> nn.Module | None:
        from insphere.detectors.base.score_modules import MeanMap

        used = [
            (member.map_module(), scale)
            for member, scale in zip(self.members_, self._map_scales, strict=True)
            if scale is not None
        ]
        modules = [module for module, _ in used if module is not None]
        if not used or len(modules) < len(used):
            return None
        return MeanMap(modules, [scale for _, scale in used])

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays: dict[str, Array] = {}
        saved: list[dict[str, Any]] = []
        for number, member in enumerate(self.members_):
            own, state = member._state()
            scale = self._scales[number]
            own = own | {CALIBRATION: scale.calibration_scores}
            arrays |= {f"member{number}.{name}": value for name, value in own.items()}
            tail = scale.tail
            saved.append(
                {
                    "state": state,
                    "tail": [tail.start, tail.share, tail.shape, tail.scale],
                    MAPS: self._map_scales[number],
                    "n_train": member.n_train_,
                }
            )
        meta = {"members": saved, "guard_findings": self.guard_findings_}
        return arrays, meta | ({"classes": self.classes_} if self.classes_ else {})

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self.members_, self._scales, self._map_scales = [], [], []
        listed = self._listed()
        for number, (saved, (method, params)) in enumerate(
            zip(meta["members"], listed, strict=True)
        ):
            prefix = f"member{number}."
            own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            tail = Tail(*map(float, saved["tail"]))
            self._scales.append(SeverityScale(own.pop(CALIBRATION), tail))
            member = self._member(method, params, 0, number)
            member.modality_ = self.modality_
            ranges = self.value_range_
            member.value_range_ = None if ranges is None else ranges.of_scaled()
            member.column_scale_, member.trained_on_, member.parts_ = None, None, []
            member.calibration_scores_, member.tail_ = np.empty(0), None
            member.n_train_, member.n_calibration_ = int(saved["n_train"]), 0
            member.threshold_, member.threshold_rule_ = float("inf"), "a member has none"
            member._set_state(own, saved["state"])
            self.members_.append(member)
            scale = saved[MAPS]
            self._map_scales.append(None if scale is None else (float(scale[0]), float(scale[1])))
        self.guard_findings_ = list(meta["guard_findings"])
        self.classes_ = list(meta.get("classes", ()))

    # ------------------------------------------------------------------ inside

    def _held_out_members(
        self,
        X: Array,
        labels: NDArray[np.int64] | None,
        groups: NDArray[np.int64] | None,
        seed: int,
    ) -> NDArray[np.bool_]:
        """Choose the images that calibrate the members: of each class the same share."""
        if labels is None or groups is not None:
            alike = look_alikes(X, seed) if self.look_alikes and groups is None else groups
            return held_out(len(X), 0.5, SHARE, seed, alike)
        held = np.zeros(len(X), bool)
        for code in range(len(self.classes_)):
            mine = np.flatnonzero(labels == code)
            if len(mine) >= FEWEST:
                alike = look_alikes(X[mine], seed) if self.look_alikes else None
                held[mine] = held_out(len(mine), 0.5, SHARE, seed, alike)
        if not held.any():
            raise SpecError(f"A combination needs at least {FEWEST} images of a class.")
        return held

    def _check_classes_fit(self, methods: Sequence[str]) -> None:
        others = [m for m in methods if not detector_class(m).card.takes_classes]
        if others:
            raise SpecError(
                f"Members of a combination with several normal classes take these, but "
                f"{', '.join(others)} cannot; leave out the classes, or name other members."
            )

    def _names_of(self, labels: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[Any]:
        """Return the classes of the images that the members learn from.

        Raises
        ------
        DataError
            If none of a class is among them, or too few.
        """
        counts = np.bincount(labels[kept], minlength=len(self.classes_))
        if counts.min() < 2:
            raise DataError(
                f"Members of a combination learn from about {1 - SHARE:.0%} of the images, among "
                f"which are {counts.min()} of a class: give more images of it, or no groups."
            )
        names: NDArray[Any] = np.asarray(self.classes_)[labels[kept]]
        return names

    def _listed(self) -> list[tuple[str, dict[str, Any]]]:
        """Return method and options of each member.

        Raises
        ------
        SpecError
            If a member is not understood.
        """
        found = []
        for given in self.members:
            one: dict[str, Any] = {"method": given} if isinstance(given, str) else dict(given)
            if not set(one) <= {"method", "params"} or not isinstance(one.get("method"), str):
                raise SpecError(
                    'A member of a combination is the name of a method, or {"method": …, '
                    f'"params": …}}, but got {given!r}.'
                )
            card = detector_class(one["method"]).card
            if card.needs_labels or card.key == self.card.key:
                raise SpecError(f"{card.key} cannot be a member of a combination.")
            check_installed(card.key)
            found.append((card.key, {**(one.get("params") or {})}))
        return found

    def _member(
        self, method: str, params: Mapping[str, Any], seed: int, number: int
    ) -> OneClassDetector:
        folder = self.checkpoint_dir
        return build_detector(
            method,
            dict(params) | {"contamination": 0.0, "false_alarm_rate": None},
            seed=(seed + number) % 2**31,
            device=self.device,
            callbacks=self.callbacks,
            checkpoint_dir=None if folder is None else str(Path(folder) / f"member{number}"),
        )


def _map(member: OneClassDetector, X: Array) -> NDArray[np.float32]:
    own: Any = member
    found: NDArray[np.float32] = np.asarray(own.anomaly_map(X), dtype=np.float32)
    return found


def _map_scale(member: OneClassDetector, X: Array) -> tuple[float, float] | None:
    """Return mean and standard deviation of the pixels of a member's maps; None without maps."""
    if not hasattr(member, "anomaly_map"):
        return None
    maps = _map(member, X)
    return float(maps.mean()), max(float(maps.std()), 1e-12)
