"""The table of kinds of data. A new kind needs one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from insphere.modalities.modality import Modality

MODALITIES = {
    "graphs": "insphere.modalities.graphs.kind.Graphs",
    "texts": "insphere.modalities.texts.kind.Texts",
    "series": "insphere.modalities.series.Series",
    "tables": "insphere.modalities.tables.Tables",
    "images": "insphere.modalities.images.Images",
}
"""Module and class of each kind."""


def modality(key: str) -> type[Modality]:
    """Return the class of a kind. Its module is imported by this call."""
    module, _, name = MODALITIES[key].rpartition(".")
    cls: type[Modality] = getattr(import_module(module), name)
    return cls


def kind_of_input(X: Any) -> type[Modality]:
    """Return the kind of an input; images if none recognises it, for their error message."""
    for key in MODALITIES:
        if (kind := modality(key)).reads(X):
            return kind
    return modality("images")


def kind_of(data: NDArray[Any]) -> type[Modality]:
    """Return the kind that reads arrays of this form.

    Raises
    ------
    TypeError
        If there is none; this is a bug.
    """
    for key in MODALITIES:
        if (kind := modality(key)).owns(data):
            return kind
    raise TypeError(f"No kind of data makes arrays of {data.dtype} with {data.ndim} dimensions.")


def restored(saved: Mapping[str, Any]) -> Modality:
    """Return the object of the values of `Modality.saved`.

    Raises
    ------
    KeyError, TypeError
        If there is no such kind, or it has other fields.
    """
    fields = dict(saved)
    return modality(fields.pop("kind")).restore(fields)
