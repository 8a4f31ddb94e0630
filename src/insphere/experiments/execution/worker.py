"""A worker: it claims runs of a store, executes them and records the results."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
import uuid
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from insphere.data.image_set import ImageSet
from insphere.data.sample_set import SampleSet
from insphere.errors import InsphereError
from insphere.experiments.runs.run import RunResult, run
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.runs.training_snapshots import live_view
from insphere.experiments.store.jsonl_rows import append_row
from insphere.experiments.store.run_store import Store
from insphere.modalities.examples import load_named
from insphere.training.callbacks import Callback
from insphere.workflows.provenance import trained_on

LOOK_SECONDS = 0.5  # seconds between two checks whether to stop
BEAT_SECONDS = 5.0
REPORT_SECONDS = 0.5


class StopRun(Exception):  # noqa: N818 (no error: somebody asked for it)
    """Ends a training whose run must stop."""


class Worker:
    """Executes runs one after the other and records each at once.

    It is a context manager: others can see whether it lives. A thread records signs of life, checks
    whether the run must stop, and, in a separate process, ends it when the parent has ended.

    Parameters
    ----------
    store : Store
        The store of the runs.
    save_models : bool
        Save the model of each run, not only its scores.
    live : bool
        Save snapshots during training; see
        `insphere.experiments.runs.training_snapshots`.
    rows : pathlib.Path, optional
        File to which each finished run is appended as a line of JSON, before the store marks it as
        finished.
    checkpoints : pathlib.Path, optional
        Folder of checkpoints; by default one beside the store for each dataset, class and seed.
    parent : int, optional
        The parent process; this one ends when it has ended. None for the main process.
    """

    def __init__(
        self,
        store: Store,
        *,
        save_models: bool = False,
        live: bool = False,
        rows: Path | None = None,
        checkpoints: Path | None = None,
        parent: int | None = None,
    ) -> None:
        self.store = store
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self.save_models, self.live = save_models, live
        self.rows, self.checkpoints = rows, checkpoints
        self._parent = parent
        self._lock = store.worker_lock(self.name)
        self._current: tuple[str, threading.Event] | None = None  # identity, whether to stop
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="insphere-worker", daemon=True)

    def __enter__(self) -> Self:
        self._lock.acquire()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._lock.release()
        (self.store.folder / "workers" / f"{self.name}.lock").unlink(missing_ok=True)

    def run(self, spec: RunSpec) -> bool:
        """Execute a run unless another worker has claimed it; then return False.

        A failure is recorded with its reason and not raised.
        """
        if not self.store.claim(spec.identity, self.name):
            return False
        self.run_claimed(spec)
        return True

    def run_claimed(self, spec: RunSpec) -> None:
        """Execute a run that this worker has claimed."""
        identity = spec.identity
        stop = threading.Event()
        self._current = identity, stop
        try:
            self._record(self._measure(spec, stop), spec)
        except StopRun:
            self.store.interrupt(identity, self.name, "Cancelled.")
        except InsphereError as error:
            self.store.fail(identity, self.name, str(error))
        except Exception as error:  # a bug is recorded as well, with its traceback
            reason = f"{type(error).__name__}: {error}"
            self.store.fail(identity, self.name, reason, traceback.format_exc())
        except BaseException:
            self.store.interrupt(identity, self.name, "Stopped.")
            raise
        finally:
            self._current = None

    # ------------------------------------------------------------------ inside

    def _measure(self, spec: RunSpec, stop: threading.Event) -> RunResult:
        data = dataset(spec.dataset)
        callbacks: list[Callback] = [_Reporter(self.store, spec.identity, self.name, stop)]
        if self.live and isinstance(data, ImageSet):
            split = spec.reading.split(data)
            callbacks += live_view(self.store.files.folder(spec.identity), split)
        folder = self.checkpoints or self._shared_checkpoints(spec, data)
        return run(spec, data, checkpoints=folder, callbacks=callbacks)

    def _shared_checkpoints(self, spec: RunSpec, data: SampleSet) -> Path:
        """Return the folder for checkpoints that runs with the same images and seed share."""
        shared = f"{data.name}-{'+'.join(spec.normal)}-{spec.seed}"
        name = "".join(c if c.isalnum() or c in "+-" else "_" for c in shared)
        return self.store.folder / "checkpoints" / name

    def _record(self, result: RunResult, spec: RunSpec) -> None:
        identity, files = spec.identity, self.store.files
        if self.store.must_stop(identity, self.name):
            raise StopRun
        files.save_scores(identity, result.scores, result.split.truth)
        if history := getattr(result.detector, "history_", []):
            files.save_history(identity, history)
        if self.save_models:
            kind = result.detector.modality_.key
            data = result.split.data
            result.detector.trained_on_ = trained_on(data, spec.reading, kind=kind)
            result.detector.save(files.model(identity), overwrite=True)
        row = result.row()
        if self.rows is not None:
            append_row(self.rows, row)
        self.store.finish(identity, self.name, row)

    def _watch(self) -> None:
        beaten = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            if self._parent is not None and os.getppid() != self._parent:
                os._exit(1)
            current = self._current
            if current is None:
                continue
            identity, stop = current
            if not stop.is_set() and self.store.must_stop(identity, self.name):
                stop.set()
            if time.monotonic() - beaten > BEAT_SECONDS:
                self.store.beat(identity, self.name)
                beaten = time.monotonic()


class _Reporter(Callback):
    """Records the progress of a training, and ends it if it must stop."""

    def __init__(self, store: Store, identity: str, worker: str, stop: threading.Event) -> None:
        self._store, self._identity, self._worker, self._stop = store, identity, worker, stop
        self._epochs = 0
        self._told = 0.0

    def phase_start(self, phase: str, epochs: int, done: int, images: int) -> None:
        self._epochs = epochs

    def batch_end(self, phase: str, images: int) -> None:
        if self._stop.is_set():
            raise StopRun

    def epoch_end(self, record: dict[str, Any]) -> None:
        self._store.files.add_epoch(self._identity, record)
        if time.monotonic() - self._told > REPORT_SECONDS:
            self._told = time.monotonic()
            self._store.report(self._identity, self._worker, {"epochs": self._epochs, **record})


@lru_cache(maxsize=2)
def dataset(name: str) -> SampleSet:
    """Load a data set once in each process."""
    return load_named(name)


def run_group(
    specs: list[RunSpec],
    store: str,
    *,
    threads: int,
    save_models: bool,
    main: int,
    leave: bool,
    rows: Path | None = None,
    checkpoints: Path | None = None,
) -> None:
    """Execute runs that share their data, in the process of the caller.

    Parameters
    ----------
    specs : list of RunSpec
        The runs, in this order.
    store : str
        Path of the store.
    threads : int
        Number of threads.
    save_models : bool
        Save the models.
    main : int
        The process that started the sweep.
    leave : bool
        Whether this process ends when `main` has ended.
    rows, checkpoints : pathlib.Path, optional
        See `Worker`.
    """
    import torch

    own_process = os.getpid() != main
    if own_process and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process to handle
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    parent = main if own_process and leave else None
    runs = Store(store)
    try:
        with Worker(
            runs, save_models=save_models, rows=rows, checkpoints=checkpoints, parent=parent
        ) as worker:
            for spec in specs:
                worker.run(spec)
    finally:
        torch.set_num_threads(before)
        runs.close()
