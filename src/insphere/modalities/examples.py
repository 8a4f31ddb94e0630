"""The data sets that installed packages ship for other kinds of data than images, by name."""

from __future__ import annotations

from insphere.data.load import load_dataset
from insphere.data.sample_set import SampleSet
from insphere.modalities.modality import Modality
from insphere.modalities.table import MODALITIES, modality


def kinds_with_examples() -> list[type[Modality]]:
    """Return the kinds whose example is installed."""
    kinds = map(modality, MODALITIES)
    return [kind for kind in kinds if kind.example is not None and kind.example.available]


def kind_of_example(name: str) -> type[Modality] | None:
    """Return the kind of which this is the example; None if it is none.

    Examples
    --------
    >>> kind_of_example("breast-cancer").plural, kind_of_example("mnist")
    ('rows', None)
    """
    kinds = map(modality, MODALITIES)
    return next((k for k in kinds if k.example is not None and k.example.name == name), None)


def load_named(dataset: str) -> SampleSet:
    """Read what specs of runs name: an example of a kind, or images by name or path.

    Raises
    ------
    InsphereError
        If it cannot be read; the message says what to do.
    """
    kind = kind_of_example(dataset)
    if kind is None:
        return load_dataset(dataset, progress=False)
    data, _ = kind.demo()
    return data
