"""The state that all pages share: the store, its queue, the images and helper processes."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import ImageSet
from insphere.data.read_options import ReadOptions
from insphere.data.sample_set import SampleSet
from insphere.data.split import OneClassSplit
from insphere.data.value_range import shown_as_uint8
from insphere.errors import DataError, InsphereError
from insphere.experiments.execution.inspection_worker import InspectionJobs
from insphere.experiments.execution.queue import Queue
from insphere.experiments.runs.display_names import dataset_titles, run_names
from insphere.experiments.runs.run_builder import comparable_methods
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.runs.training_snapshots import FILE, Snapshot, snapshots
from insphere.experiments.store.inspections import Inspections
from insphere.experiments.store.run_files import RunFiles
from insphere.experiments.store.run_record import Run
from insphere.experiments.store.run_store import Store
from insphere.modalities.examples import load_named
from insphere.resources import work_in_background
from insphere.studio.arrivals import Arrivals
from insphere.studio.image_sources import Sources

P = ParamSpec("P")
T = TypeVar("T")

HELPERS = 2  # so that a time estimate does not block the inspection of an image
PATIENCE = 120.0  # seconds that a helper process may take


class Studio:
    """One store, for any number of visitors.

    Parameters
    ----------
    store : pathlib.Path
        The SQLite file.
    folder : pathlib.Path, optional
        Folder of images that are offered in addition to the named data sets.
    workers, threads : int
        Number of trainings at a time, and of threads for each.
    """

    def __init__(self, store: Path, folder: Path | None, *, workers: int, threads: int) -> None:
        self.store = Store(store)
        self.queue = Queue(self.store, workers=workers, threads=threads)
        self.uploads = self.store.folder / "brought"  # the name on disk of older stores
        self.sources = Sources(folder, self.uploads)
        self.inspections = Inspections(self.store)
        self.jobs = InspectionJobs(self.inspections, threads=threads)
        self.arrivals = Arrivals(self.store.folder / "arriving")
        self._helpers: ProcessPoolExecutor | None = None
        self._called: tuple[int, dict[str, str], dict[str, str]] = 0, {}, {}

    # ------------------------------------------------------------------ help

    async def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a helper process, so that a crash does not end the studio.

        Raises
        ------
        InsphereError
            If the function raises it, takes too long, or its process dies.
        """
        if kwargs:
            raise TypeError("Helpers are called with positional arguments.")
        loop = asyncio.get_running_loop()
        try:
            future = loop.run_in_executor(self._pool(), _called, function, args)
            outcome = await asyncio.wait_for(future, PATIENCE)
        except (TimeoutError, BrokenProcessPool) as error:
            self.close()
            raise InsphereError(
                "This took too long, or needed too much memory; try fewer or smaller images."
            ) from (error)
        if isinstance(outcome, _Refused):
            raise InsphereError(outcome.reason)
        return outcome

    async def look_after(self) -> None:
        """Start missing workers of the queue, and mark the runs of dead ones as interrupted."""
        await asyncio.to_thread(self.queue.keep_working)
        await asyncio.to_thread(self.jobs.keep_working)

    def prepare(self) -> None:
        """Load the data of the first page."""
        comparable_methods()
        class_pictures(self.sources.all()[0].dataset)

    def warm_up(self) -> None:
        """Start a helper process before it is needed."""
        self._pool().submit(_called, _import_all, ())

    def close(self) -> None:
        """End the helper processes; the workers of the queue continue."""
        if self._helpers is not None:
            for process in list((self._helpers._processes or {}).values()):
                process.kill()
            self._helpers.shutdown(
                wait=True, cancel_futures=True
            )  # returns at once, since they are dead
            self._helpers = None

    def _pool(self) -> ProcessPoolExecutor:
        if self._helpers is None:
            context = multiprocessing.get_context("spawn")
            self._helpers = ProcessPoolExecutor(HELPERS, mp_context=context, initializer=_be_nice)
        return self._helpers

    # ------------------------------------------------------------------ runs

    def run(self, identity: str) -> Run | None:
        """Return a run, or None."""
        return self.store.get(identity)

    def names(self) -> dict[str, str]:
        """Return the display name of each run by its identity, the same on every page."""
        return self._display_names()[0]

    def titles(self) -> dict[str, str]:
        """Return the display name of each data set by its name or path."""
        return self._display_names()[1]

    def _display_names(self) -> tuple[dict[str, str], dict[str, str]]:
        count = self.store.count()
        if self._called[0] != count:  # settings of a run never change, and runs are never removed
            runs = self.store.runs()
            titles = dataset_titles(run.dataset for run in runs)
            self._called = count, run_names(runs), titles
        return self._called[1:]

    def has_model(self, identity: str) -> bool:
        """Whether the model of a run was saved."""
        return (self.store.files.model(identity) / "detector.json").is_file()

    def history(self, identity: str) -> list[dict[str, Any]]:
        """Return the record of each epoch so far. The list is shared: do not change it."""
        folder = self.store.files.folder(identity)
        return _history(self.store.files, identity, _stamp(folder / "history.jsonl"))

    def views(self, identity: str) -> list[Snapshot]:
        """Return the snapshots of a training so far. The list is shared: do not change it."""
        folder = self.store.files.folder(identity)
        return _views(folder, _stamp(folder / FILE))

    def counts(self) -> tuple[int, int]:
        """Return the numbers of running and of waiting trainings."""
        running, waiting = self.inspections.trainings()
        running += len(self.store.runs(states=("running",)))
        return running, waiting + len(self.queue.waiting())


def _stamp(path: Path) -> tuple[int, int]:
    """Return size and time of a file, so that an unchanged file is read once for all visitors."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=16)
def _history(files: RunFiles, identity: str, _: tuple[int, int]) -> list[dict[str, Any]]:
    return files.history(identity)


@lru_cache(maxsize=16)
def _views(folder: Path, _: tuple[int, int]) -> list[Snapshot]:
    return snapshots(folder)


class _Refused:
    """The message of an error, returned from a helper process."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def images_of(dataset: str) -> ImageSet:
    """Return the images of a source. Those used last stay in memory.

    Raises
    ------
    DataError
        If they cannot be read, or are no images.
    """
    data = data_of(dataset)
    if not isinstance(data, ImageSet):
        raise DataError(f"{dataset} holds no images.")
    return data


@lru_cache(maxsize=4)
def data_of(dataset: str) -> SampleSet:
    """Return the data that specs of runs name. What was used last stays in memory."""
    return load_named(dataset)


def split_of(spec: RunSpec) -> OneClassSplit:
    """Return the split into training and test images of a run."""
    return _split(spec.dataset, spec.reading)


@lru_cache(maxsize=8)
def _split(dataset: str, reading: ReadOptions) -> OneClassSplit:
    return reading.split(data_of(dataset))


@lru_cache(maxsize=16)
def class_pictures(dataset: str) -> dict[str, NDArray[np.uint8]]:
    """Return a typical image of each class: the one nearest to the mean of its first images."""
    data = images_of(dataset)
    found = {}
    for label, name in enumerate(data.class_names):
        index = np.flatnonzero(data.labels == label)[:100]
        if len(index):
            images = data.images[index].astype(np.float32)
            distance = np.square(images - images.mean(axis=0)).sum(axis=(1, 2, 3))
            typical = data.images[index[int(np.argmin(distance))]]
            found[name] = np.array(shown_as_uint8(typical[None])[0])
    return found


def _called(function: Callable[..., T], args: tuple[object, ...]) -> T | _Refused:
    try:
        return function(*args)
    except InsphereError as error:
        return _Refused(str(error))
    except MemoryError:
        return _Refused("This needs more memory than is available; try fewer or smaller images.")
    except Exception as error:  # a bug: the visitor still gets an answer
        logging.getLogger("insphere").exception("A helper of the studio failed.")
        return _Refused(
            f"The program failed ({type(error).__name__}: {str(error)[:200]}); its log has the "
            "details."
        )


def _be_nice() -> None:
    import torch

    work_in_background(2)
    torch.set_num_threads(1)


def _import_all() -> None:
    import insphere.experiments.execution.time_estimate
    import insphere.studio.inspect_image  # noqa: F401
