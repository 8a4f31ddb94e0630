"""The description of a named data set, for command line, studio, tables and figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetCard:
    """Properties of a named data set that are known without loading it.

    Parameters
    ----------
    name : str
        What `load_dataset` calls it.
    title : str
        What people call it.
    image_shape : tuple of int
        Height, width and channels.
    n_classes, n_train, n_test : int
        Number of classes and of images; `n_test` is 0 if the source defines no test part.
    origin : str
        Where it comes from.
    extra : str
        Extra of this package that brings, or downloads, it; empty if none is needed.
    local_forms : tuple of str
        Files or folders it is looked for under, in a folder of data.
    available : bool
        Whether it can be loaded now and offline.
    location : str
        Where it was found; empty if it was not.
    """

    name: str
    title: str
    image_shape: tuple[int, int, int]
    n_classes: int
    n_train: int
    n_test: int
    origin: str
    extra: str = ""
    local_forms: tuple[str, ...] = ()
    available: bool = False
    location: str = ""
