"""One call for every source of every kind of data."""

from __future__ import annotations

import os
from os import PathLike

from insphere.data.read_options import ReadOptions
from insphere.data.sample_set import SampleSet
from insphere.errors import SpecError, did_you_mean
from insphere.modalities.modality import Modality
from insphere.modalities.table import MODALITIES, modality


def load_source(
    source: str | PathLike[str], reading: ReadOptions, *, progress: bool | None = None
) -> SampleSet:
    """Read a source of the kind that `reading` names, or else of the kind that it looks like.

    Parameters
    ----------
    source : str or path
        File, folder or name.
    reading : ReadOptions
        How to read it.
    progress : bool, optional
        Show a bar; by default if stderr is a terminal.

    Raises
    ------
    InsphereError
        If the source cannot be read; the message says what to do.
    """
    kind = kind_of_source(source, reading.kind)
    if kind.example is not None and os.fspath(source) == kind.example.name:
        return kind.demo()[0]
    return kind.load(os.fspath(source), reading, progress=progress)


def kind_of_source(source: str | PathLike[str], name: str | None = None) -> type[Modality]:
    """Return the kind of a source: the named one, else what it looks like, else images."""
    if name is not None:
        return kind_named(name)
    text = os.fspath(source)
    for key in MODALITIES:
        kind = modality(key)
        if kind.is_source(text) or (kind.example is not None and kind.example.name == text):
            return kind
    return modality("images")


def kind_named(name: str) -> type[Modality]:
    """Return the kind of this name; the singular will do.

    Raises
    ------
    SpecError
        If there is none.
    """
    plain = name.strip().lower()
    for key in MODALITIES:
        if plain in (key, key.removesuffix("s")):
            return modality(key)
    words = [key if key == "series" else key.removesuffix("s") for key in MODALITIES]
    hint = did_you_mean(plain, words, f"use one of {', '.join(words)}.")
    raise SpecError(f"There is no kind of data {name!r}; {hint}")
