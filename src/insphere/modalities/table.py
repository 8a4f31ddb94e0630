"""The kinds of data there are; a new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from insphere.modalities.modality import Modality

MODALITIES = {
    "tables": "insphere.modalities.tables.Tables",
    "images": "insphere.modalities.images.Images",
}
"""Module and class of each kind."""


def modality(key: str) -> type[Modality]:
    """Return the class of a kind, importing its module only now."""
    module, _, name = MODALITIES[key].rpartition(".")
    cls: type[Modality] = getattr(import_module(module), name)
    return cls


def kind_of_input(X: Any) -> type[Modality]:
    """Return the kind of an input; images, whose reading says what is wrong, if none knows it."""
    for key in MODALITIES:
        if (kind := modality(key)).reads(X):
            return kind
    return modality("images")


def kind_of(data: NDArray[Any]) -> type[Modality]:
    """Return the kind that reads arrays of this form.

    Raises
    ------
    TypeError
        If there is none; this is a mistake in the program, not in the data.
    """
    for key in MODALITIES:
        if (kind := modality(key)).owns(data):
            return kind
    raise TypeError(f"No kind of data makes arrays of {data.dtype} with {data.ndim} dimensions.")


def restored(saved: Mapping[str, Any]) -> Modality:
    """Return what `Modality.saved` wrote down.

    Raises
    ------
    KeyError, TypeError
        If there is no such kind, or the fields are not its own.
    """
    fields = dict(saved)
    return modality(fields.pop("kind")).restore(fields)
