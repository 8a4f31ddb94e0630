"""The list of all data sets, with the module of each.

A new data set needs one line here and one file with its class (see
`insphere.data.datasets.dataset`). The table is plain text, so that a name can be checked
without importing any of them.
"""

from __future__ import annotations

from importlib import import_module

from insphere.data.datasets.dataset import Dataset

DATASETS = {
    "digits-8x8": "digits_8x8.Digits8x8",
    "mnist-5k": "mnist_5k.Mnist5k",
    "mnist": "mnist.Mnist",
    "fashion-mnist": "fashion_mnist.FashionMnist",
    "cifar10": "cifar10.Cifar10",
    "gtsrb": "gtsrb.Gtsrb",
    "stop-signs": "stop_signs.StopSigns",
}
"""Module and class of each data set, by the name that `load_dataset` takes."""


def named_dataset(name: str) -> Dataset:
    """Return a data set of the table.

    Examples
    --------
    >>> named_dataset("cifar10").card.title
    'CIFAR-10'
    """
    module, _, class_name = DATASETS[name].partition(".")
    found: Dataset = getattr(import_module(f"insphere.data.datasets.{module}"), class_name)()
    return found
