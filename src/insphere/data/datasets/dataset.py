"""The base classes of data sets with a name: how each is found and read.

A new data set is a subclass of `PackagedDataset` or `LocalDataset` in a file of its own, and a line
in `insphere.data.datasets.table`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from insphere.data.datasets.dataset_card import DatasetCard
from insphere.data.files import ImageFiles
from insphere.data.image_set import ImageSet
from insphere.data.listing import Listing

Roi = Literal["crop", "border"]


class Reader(Protocol):
    """Reads a file, a folder or a zip as `load_dataset` reads paths, with the caller's options."""

    def __call__(self, path: Path, **changes: Any) -> ImageSet:
        """Read `path`; `changes` replace options of the caller (``size=(32, 32)``)."""


@dataclass(frozen=True)
class Torchvision:
    """How torchvision downloads a data set.

    Parameters
    ----------
    class_name : str
        Class of ``torchvision.datasets``.
    place : str
        Where its files are afterwards, below the folder of downloads.
    splits : tuple of str
        Values of its parameter ``split``, if each is downloaded for itself.
    """

    class_name: str
    place: str
    splits: tuple[str, ...] = ()


class Dataset(ABC):
    """A data set with a name.

    Attributes
    ----------
    card : DatasetCard
        Its description, available without loading it.
    class_names : tuple of str
        Names of its classes, if they are known without loading it.
    quiet_notes : tuple of str
        Notes that are kept with the images and not given as a warning.
    """

    card: ClassVar[DatasetCard]
    class_names: ClassVar[tuple[str, ...]] = ()
    quiet_notes: ClassVar[tuple[str, ...]] = ()


class PackagedDataset(Dataset):
    """A data set that an installed package holds.

    Attributes
    ----------
    package : str
        Name of the package for ``pip install``.
    module : str
        Name under which it is imported.
    """

    package: ClassVar[str]
    module: ClassVar[str]

    @abstractmethod
    def load(self) -> ImageSet:
        """Return all images.

        Raises
        ------
        MissingExtraError
            If the package is not installed.
        """


class LocalDataset(Dataset):
    """A data set in files on this machine, under one of its card's `local_forms`.

    Attributes
    ----------
    system_folder : pathlib.Path or None
        A folder of the operating system that holds this data set and nothing else.
    torchvision : Torchvision or None
        How it is downloaded; None if it cannot be.
    """

    system_folder: ClassVar[Path | None] = None
    torchvision: ClassVar[Torchvision | None] = None

    def is_whole(self, folder: Path) -> bool:
        """Whether a folder with the name of a local form contains the whole data set."""
        return any(folder.iterdir())

    def is_itself(self, folder: Path) -> bool:
        """Whether a folder, whatever its name, contains this data set directly."""
        return False

    def read(self, path: Path, reader: Reader) -> ImageSet:
        """Return all images of the file or folder that was found.

        Parameters
        ----------
        path : pathlib.Path
            One of the local forms, or what the user named.
        reader : callable
            Reads images and archives in the usual forms.
        """
        return reader(path)

    def fits(self, files: ImageFiles) -> bool:
        """Whether a tree of files has a layout that is unique to this data set.

        Called for every folder and zip, including those that are loaded by their path.
        """
        return False

    def list_files(self, files: ImageFiles, roi: Roi) -> Listing:
        """List the images of a tree that `fits`."""
        raise NotImplementedError
