"""The base class of data sets of every kind: labels, parts, groups and names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError


class SampleSet(ABC):
    """Samples of one kind with their labels; each kind of data has a class of its own.

    Splits, fitting, scoring and reports know no more of a set than this class says. `ImageSet` is
    that of images.

    Attributes
    ----------
    samples_are_rows : bool
        Whether a sample can be scored without the others, so that a large set is scored in parts.
        It is False where a sample needs its neighbours: points of a series, nodes of a graph.
    labels : ndarray of int64, shape (N,)
        Index of each sample's class in `class_names`.
    class_names : tuple of str
        Names of the classes.
    name : str
        What the set is called in tables and reports.
    is_test : ndarray of bool, shape (N,), or None
        Which samples belong to the test part that the source itself defines, if any.
    paths : tuple of str or None
        What each sample is called; None: its position.
    groups : ndarray of int64, shape (N,), or None
        Samples with the same number must not be split.
    masks : ndarray or None
        Ground truth for each position of a sample, where there is any.
    skipped, notes : tuple of str
        What was left out, each with its reason; what a reader of results should know.
    normal_classes : tuple of str
        Classes that the source itself calls normal; empty if it does not say.
    own_anomalies : bool
        Whether each normal class has anomalies of its own, named ``class/…``.
    layout : str
        Name of the form of the source, if it has one.
    n_masks : int
        Samples with a mask of their own.
    ignored : mapping of str to int
        What was seen and is no sample of the set, by type.
    """

    samples_are_rows: ClassVar[bool] = True

    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    name: str
    is_test: NDArray[np.bool_] | None = None
    paths: tuple[str, ...] | None = None
    groups: NDArray[np.int64] | None = None
    masks: NDArray[Any] | None = None
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    normal_classes: tuple[str, ...] = ()
    own_anomalies: bool = False
    layout: str = ""
    n_masks: int = 0
    ignored: Mapping[str, int] = {}

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def take(self, index: NDArray[np.int64]) -> Any:
        """Return the samples at a sorted index, as a detector takes them; a view if possible."""

    @abstractmethod
    def one_class(self, index: NDArray[np.int64], name: str) -> Self:
        """Return the samples at a sorted index as a set of one class of this name, with groups."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 over samples and labels: the same data has the same fingerprint anywhere."""

    def concerning(self, normal: Sequence[str]) -> NDArray[np.bool_]:
        """Return which samples are relevant for a detector of the normal classes, shape (N,).

        All samples, unless each class has its own anomalies: then those of the named classes and of
        their anomalies.

        Parameters
        ----------
        normal : sequence of str
            Names of the classes that are normal; with none, all samples count.
        """
        if not self.own_anomalies or not normal:
            return np.ones(len(self), bool)
        kept = [
            label
            for label, name in enumerate(self.class_names)
            if any(name == own or name.startswith(f"{own}/") for own in normal)
        ]
        found: NDArray[np.bool_] = np.isin(self.labels, kept)
        return found

    def class_index(self, name: str | int) -> int:
        """Return the index of a class given by name, by number or by index.

        An exact name comes first. Of a name such as ``"14 stop"``, the number (``14`` or
        ``"14"``) and the words (``"stop"``) will do as well; any other number is an index. Last
        comes a name that differs in capitals only.

        Raises
        ------
        DataError
            If there is no such class; the message lists those that exist.
        """
        wanted = str(name)
        if wanted in self.class_names:
            return self.class_names.index(wanted)
        numbered = [known.partition(" ") for known in self.class_names]
        matches = [
            index
            for index, (number, _, words) in enumerate(numbered)
            if number.isdecimal() and words and wanted in (number, words)
        ]
        if len(matches) == 1:
            return matches[0]
        if wanted.isdecimal() and int(wanted) < len(self.class_names):
            return int(wanted)
        alike = [i for i, n in enumerate(self.class_names) if n.casefold() == wanted.casefold()]
        if len(alike) == 1:
            return alike[0]
        known = ", ".join(self.class_names[:30]) + (", …" if len(self.class_names) > 30 else "")
        raise DataError(f"{self.name} has no class {name!r}; its classes are: {known}.")
