"""The split for one-class learning: normal training images, held-out images and test images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.sample_set import SampleSet
from insphere.errors import DataError, SpecError

Index = NDArray[np.int64]


class OneClassSplit:
    """Split a labelled image set for one-class learning.

    If the source defines a test part, that whole part is the test set, and all other samples are
    available for training. Otherwise each class is split by `test_size`; images of one group stay
    together. The test set depends only on the data, `test_size` and `random_state`. So it is the
    same for every normal class, pollution and calibration.

    Parameters
    ----------
    data : SampleSet
        Labelled samples, such as an `ImageSet`.
    normal : str, int or sequence of them
        The normal class or classes, by name or index.
    pollution : float, in [0, 1)
        Share of anomalies in the training set: from the training part's other classes, chosen at
        random, are added as many as bring it to this share, up to rounding.
    calibration : float, in [0, 1)
        Share of the training normals to hold out, in whole groups.
    test_size : float, in [0, 1)
        Share of each class to test on, if the source defines no test part. With 0, all of it is
        trained on.
    random_state : int
        The same number gives the same split.

    Attributes
    ----------
    train : ndarray of int64
        Sorted indices of the training images: normals and, with `pollution`, anomalies.
    calibration : ndarray of int64
        Sorted indices of the held-out normals.
    test : ndarray of int64
        Sorted indices of the test images.
    truth : ndarray of int64
        For each test image, 0 if it is normal and 1 if it is anomalous.
    train_truth : ndarray of int64
        The same for each training image.
    normal_classes : tuple of int
        Indices of the normal classes.
    has_anomalies, has_normals : bool
        Whether the test set holds any; without both there is nothing to evaluate.

    Raises
    ------
    DataError
        If a class is unknown or has no image to train on, or there are too few images.
    SpecError
        If a share is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from insphere.data import ImageSet, OneClassSplit
    >>> images = np.zeros((8, 4, 4, 1), np.uint8)
    >>> data = ImageSet(images, np.repeat([0, 1], 4), ("cat", "dog"))
    >>> split = OneClassSplit(data, "dog")
    >>> split.X_train.shape, split.truth.tolist()
    ((2, 4, 4, 1), [1, 1, 0, 0])
    """

    train: Index
    calibration: Index
    test: Index
    truth: NDArray[np.int64]
    train_truth: NDArray[np.int64]

    def __init__(
        self,
        data: SampleSet,
        normal: str | int | Sequence[str | int],
        *,
        pollution: float = 0.0,
        calibration: float = 0.0,
        test_size: float = 0.5,
        random_state: int = 0,
    ) -> None:
        _check_share("pollution", pollution)
        _check_share("calibration", calibration)
        _check_share("test_size", test_size)
        self.data = data
        names = [normal] if isinstance(normal, (str, int, np.integer)) else list(normal)
        if not names:
            raise SpecError("At least one normal class is needed, but none was given.")
        self.normal_classes = tuple(sorted({data.class_index(name) for name in names}))
        self._seeds = np.random.SeedSequence(random_state).spawn(3)

        is_test = self._test_mask(test_size)
        is_normal = np.isin(data.labels, self.normal_classes)
        normals = np.flatnonzero(is_normal & ~is_test)
        if len(normals) < 2:
            raise DataError(
                f"{data.name} has {len(normals)} images of {self.normal_names} to train on: at "
                "least 2 are needed."
            )
        self.calibration, normals = self._hold_out(normals, calibration)
        concerning = data.concerning([data.class_names[i] for i in self.normal_classes])
        others = np.flatnonzero(~is_normal & ~is_test & concerning)
        self.train = np.sort(np.concatenate([normals, self._pollute(others, pollution, normals)]))
        self.test = np.flatnonzero(is_test & concerning)
        self.truth = (~is_normal[self.test]).astype(np.int64)
        self.train_truth = (~is_normal[self.train]).astype(np.int64)

    @property
    def normal_names(self) -> str:
        """Names of the normal classes, joined by commas."""
        return ", ".join(self.data.class_names[index] for index in self.normal_classes)

    @property
    def has_anomalies(self) -> bool:
        """Whether the test set holds an anomalous image."""
        return bool(self.truth.any())

    @property
    def has_normals(self) -> bool:
        """Whether the test set holds a normal image."""
        return not bool(self.truth.all())

    @cached_property
    def X_train(self) -> Any:  # noqa: N802
        """Training samples; images are uint8, shape (n_train, H, W, C)."""
        return self.data.take(self.train)

    @property
    def training(self) -> SampleSet:
        """The training samples as a set of one class, with their groups if there are any."""
        return self.data.one_class(self.train, self.normal_names)

    @cached_property
    def X_calibration(self) -> Any:  # noqa: N802
        """Held-out normal samples."""
        return self.data.take(self.calibration)

    @cached_property
    def X_test(self) -> Any:  # noqa: N802
        """Test samples."""
        return self.data.take(self.test)

    def __repr__(self) -> str:
        return (
            f"OneClassSplit({self.data.name!r}, normal: {self.normal_names}; {len(self.train)} to "
            f"train, {len(self.calibration)} to calibrate, {len(self.test)} to test, of which "
            f"{int(self.truth.sum())} anomalous)"
        )

    def _test_mask(self, test_size: float) -> NDArray[np.bool_]:
        """Return the test images: the test part of the source, or a share of each class."""
        own = self.data.is_test
        if own is not None and own.any():
            return np.asarray(own)
        rng = np.random.default_rng(self._seeds[0])
        mask = np.zeros(len(self.data), bool)
        if test_size == 0:
            return mask
        units = self._units(np.arange(len(self.data)))
        unit_labels = np.array([self.data.labels[unit[0]] for unit in units], np.int64)
        for label in np.unique(unit_labels):
            selected = [units[i] for i in np.flatnonzero(unit_labels == label)]
            for unit in _choose(selected, test_size, rng):
                mask[unit] = True
        return mask

    def _hold_out(self, normals: Index, share: float) -> tuple[Index, Index]:
        """Return held-out and remaining normals."""
        if share == 0:
            return np.empty(0, np.int64), normals
        units = self._units(normals)
        if len(units) < 2:
            raise DataError(
                f"The {len(normals)} training images of {self.normal_names} form one group, of "
                "which nothing can be held out for calibration."
            )
        rng = np.random.default_rng(self._seeds[1])
        held = np.sort(np.concatenate(_choose(units, share, rng)))
        return held, np.setdiff1d(normals, held)

    def _pollute(self, others: Index, share: float, normals: Index) -> Index:
        """Choose the anomalies to train on."""
        count = round(len(normals) * share / (1 - share))
        if count > len(others):
            most = len(others) / (len(others) + len(normals))
            raise DataError(
                f"{self.data.name} has {len(others)} anomalous images to train on, of the {count} "
                f"that pollution={share} asks for beside {len(normals)} normal ones: at most "
                f"{int(1000 * most) / 1000} is possible."
            )
        rng = np.random.default_rng(self._seeds[2])
        return rng.choice(others, count, replace=False)

    def _units(self, index: Index) -> list[Index]:
        """Return the units of the split: groups if there are any, else single images."""
        if self.data.groups is None:
            return list(index[:, None])
        groups = self.data.groups[index]
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.diff(groups[order])) + 1
        return list(np.split(index[order], starts))


def _choose(units: list[Index], share: float, rng: np.random.Generator) -> list[Index]:
    """Choose random units that come closest to a share of the images, and leave at least one."""
    order = rng.permutation(len(units))
    sizes = np.cumsum([len(units[i]) for i in order])
    count = int(np.argmin(np.abs(np.concatenate([[0], sizes]) - share * sizes[-1])))
    if len(units) > 1:
        count = min(max(count, 1), len(units) - 1)
    return [units[i] for i in order[:count]]


def _check_share(name: str, value: Any) -> None:
    if not (isinstance(value, (int, float, np.integer, np.floating)) and 0 <= value < 1):
        raise SpecError(f"{name} is a share, at least 0 and less than 1, but got {value!r}.")
