"""What the speed of insphere is compared with, apart from its own limit.

The usual way: a torchvision-style dataset with per-sample PIL transforms, a DataLoader, the paper's
network of PyTorch's own layers and Adam. PyOD: its DeepSVDD on the same images as flat rows, a
dense network. Both run in a process of their own, so that nothing insphere sets in its process
speeds them up.
"""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from insphere.nets.spec import NAMED

Pixels = NDArray[np.uint8]
WORKERS = (0, 2)
PYOD_EPOCHS = 5


class PILDataset(Dataset[Tensor]):
    """Images turned into PIL images and transformed one by one, as torchvision's data sets do.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        The images.
    low, high : float
        Extremes of the training images after contrast normalisation.
    """

    def __init__(self, images: Pixels, low: float, high: float) -> None:
        from torchvision import transforms

        channels = images.shape[3]
        self.images = images[..., 0] if channels == 1 else images
        self.transform = transforms.Compose(
            [
                transforms.ToTensor(),
                transforms.Lambda(contrast_normalised),
                transforms.Normalize([low] * channels, [high - low] * channels),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        out: Tensor = self.transform(Image.fromarray(self.images[index]))
        return out


def contrast_normalised(x: Tensor) -> Tensor:
    """Subtract the mean of one image and divide by its mean absolute value."""
    x = x - x.mean()
    return x / x.abs().mean()


def usual_network(name: str, shape: tuple[int, int, int]) -> nn.Sequential:
    """Return the paper's network as it is usually written: activation, then pooling."""
    spec = NAMED[name]
    channels, height, width = shape
    layers: list[nn.Module] = []
    for filters in spec.widths:
        layers += [
            nn.Conv2d(channels, filters, spec.kernel, padding="same", bias=False),
            nn.BatchNorm2d(filters, eps=1e-4, affine=False),
            nn.LeakyReLU(spec.leakiness),
            nn.MaxPool2d(2),
        ]
        channels, height, width = filters, height // 2, width // 2
    dense = nn.Linear(channels * height * width, spec.rep_dim, bias=False)
    return nn.Sequential(*layers, nn.Flatten(), dense)


def usual_way(
    name: str, train: Pixels, test: Pixels, extremes: tuple[float, float], workers: int, batch: int
) -> dict[str, Callable[[], None]]:
    """Return one epoch of training and one pass of scoring, written the usual way."""
    shape = (train.shape[3], train.shape[1], train.shape[2])
    spec = NAMED[name]
    torch.manual_seed(0)
    network = usual_network(name, shape)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=0.5e-6)
    center = torch.full((spec.rep_dim,), 0.1)
    settings: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    # Batches of equal size, as insphere cuts an epoch.
    batch = math.ceil(len(train) / math.ceil(len(train) / batch))
    training = DataLoader(PILDataset(train, *extremes), batch_size=batch, shuffle=True, **settings)
    testing = DataLoader(PILDataset(test, *extremes), batch_size=batch, **settings)

    def train_epoch() -> None:
        network.train()
        for x in training:
            optimizer.zero_grad()
            loss = ((network(x) - center) ** 2).sum(dim=1).mean()
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def score() -> None:
        network.eval()
        for x in testing:
            ((network(x) - center) ** 2).sum(dim=1).numpy()

    return {"train": train_epoch, "score": score}


def pyod(train: Pixels, test: Pixels, batch: int) -> dict[str, Callable[[], None]]:
    """Return a fit of `PYOD_EPOCHS` epochs and one pass of scoring with PyOD's DeepSVDD."""
    from pyod.models.deep_svdd import DeepSVDD

    flat_train = train.reshape(len(train), -1).astype(np.float32)
    flat_test = test.reshape(len(test), -1).astype(np.float32)
    model = DeepSVDD(flat_train.shape[1], epochs=PYOD_EPOCHS, batch_size=batch, verbose=0)

    def fit() -> None:
        model.fit(flat_train)

    def score() -> None:
        model.decision_function(flat_test)

    return {"train": fit, "score": score}


class Rivals:
    """Handle of the process in which rivals run, one at a time, when asked.

    Parameters
    ----------
    connection : multiprocessing.connection.Connection
        The way to it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.names: list[str] = connection.recv()

    def seconds(self, rival: str, task: str) -> float:
        """Run one task ("train" or "score") and return the wall time of one pass."""
        self._connection.send((rival, task))
        taken: float = self._connection.recv()
        return taken


@contextmanager
def rivals(threads: int, *arguments: Any) -> Iterator[Rivals]:
    """Start the process; the arguments are those of `_all_rivals`."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, threads, *arguments))
    process.start()
    there.close()
    try:
        yield Rivals(here)
    finally:
        here.close()
        process.join()


def _all_rivals(
    name: str, train: Pixels, test: Pixels, extremes: tuple[float, float], batch: int
) -> dict[str, dict[str, Callable[[], None]]]:
    found = {
        f"usual, {workers} workers": usual_way(name, train, test, extremes, workers, batch)
        for workers in WORKERS
    }
    if name == "mnist" and importlib.util.find_spec("pyod") is not None:
        found["pyod"] = pyod(train, test, batch)
    return found


def _serve(connection: Connection, threads: int, *arguments: Any) -> None:
    torch.set_num_threads(threads)
    tasks = _all_rivals(*arguments)
    connection.send(list(tasks))
    while True:
        try:
            rival, task = connection.recv()
        except EOFError:
            return
        started = time.perf_counter()
        tasks[rival][task]()
        taken = time.perf_counter() - started
        passes = PYOD_EPOCHS if (rival, task) == ("pyod", "train") else 1
        connection.send(taken / passes)
