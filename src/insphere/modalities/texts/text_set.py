"""Texts with their labels and where they came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from insphere.data.sample_set import SampleSet
from insphere.errors import DataError

Texts = NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class TextSet(SampleSet):
    """Texts with their labels.

    Parameters
    ----------
    texts : ndarray of str objects, shape (N,)
        The texts.
    labels : ndarray of int64, shape (N,)
        Index of each text's class in `class_names`.
    class_names, name, paths, groups, skipped, notes, normal_classes
        See `SampleSet`.
    """

    texts: Texts
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    name: str = "texts"
    is_test: NDArray[np.bool_] | None = None
    paths: tuple[str, ...] | None = None
    groups: NDArray[np.int64] | None = None
    skipped: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    normal_classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for title in ("labels", "is_test", "paths", "groups"):
            value = getattr(self, title)
            if value is not None and len(value) != len(self.texts):
                raise DataError(f"There are {len(self.texts)} texts but {len(value)} {title}.")

    def __repr__(self) -> str:
        return f"TextSet({self.name!r}, {len(self)} texts, {len(self.class_names)} classes)"

    def take(self, index: NDArray[np.int64]) -> Texts:
        """Return the texts at an index."""
        return self.texts[index]

    def one_class(self, index: NDArray[np.int64], name: str) -> Self:
        """Return the texts at an index as a set of one class of this name."""

        def taken(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[index]

        paths = None if self.paths is None else tuple(self.paths[i] for i in index)
        return replace(
            self,
            texts=self.texts[index],
            labels=np.zeros(len(index), np.int64),
            class_names=(name,),
            is_test=None,
            paths=paths,
            groups=taken(self.groups),
            normal_classes=(),
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over texts and labels."""
        digest = hashlib.sha256(repr(("texts", self.class_names)).encode())
        for text in self.texts:
            content = text.encode("utf-8", "surrogatepass")
            digest.update(len(content).to_bytes(8, "little") + content)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        return digest.hexdigest()
