"""Training samples with their labels, groups and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.fingerprint import array_fingerprint

KNOWN = ("labels", "groups", "weights")
"""The data that each sample can have besides itself."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Training samples with optional labels, groups and weights.

    Parameters
    ----------
    data : ndarray, shape (N, ...)
        Raw samples, perhaps a memory map.
    labels : ndarray, shape (N,), optional
        Label of each sample, in the form that the detector reads.
    groups : ndarray of int64, shape (N,), optional
        Samples with the same number belong together, such as frames of one track.
    weights : ndarray of float64, shape (N,), optional
        How much each sample counts; 0 or more, and not all 0.
    normal : ndarray of bool, shape (N,), optional
        Which samples count as normal. Calibration and threshold use only these. None: all.
    strata : ndarray of str, shape (N,), optional
        The group within which the false alarms of each sample are counted, such as a camera.
    """

    data: NDArray[Any]
    labels: NDArray[Any] | None = None
    groups: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None
    normal: NDArray[np.bool_] | None = None
    strata: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.data)

    def take(self, index: NDArray[Any]) -> TrainingSet:
        """Return the samples at `index` (positions or a mask) with their data."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        taken: dict[str, Any] = {
            name: None if value is None else value[index] for name, value in values.items()
        }
        return TrainingSet(**taken)

    @property
    def normals(self) -> TrainingSet:
        """The samples that count as normal."""
        return self if self.normal is None else self.take(self.normal)

    def among_all(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask over the normal samples as one over all samples."""
        if self.normal is None:
            return mask
        whole = np.zeros(len(self), dtype=bool)
        whole[np.flatnonzero(self.normal)[mask]] = True
        return whole

    def known(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the named data of `KNOWN`."""
        return {name: getattr(self, name) for name in names}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the samples, their labels and their weights."""
        found = [array_fingerprint(self.data)]
        found += [array_fingerprint(v) for v in (self.labels, self.weights) if v is not None]
        return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def as_training_set(samples: NDArray[Any] | TrainingSet) -> TrainingSet:
    """Return an array as a `TrainingSet`; a `TrainingSet` is returned as it is."""
    return samples if isinstance(samples, TrainingSet) else TrainingSet(samples)
