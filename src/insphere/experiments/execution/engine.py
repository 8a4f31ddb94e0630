"""Execution of a list of runs: a worker claims each run, and records it when it is finished.

``insphere sweep``, ``insphere ablate`` and the benchmarks use it. The queue of the studio starts
the same workers; see `insphere.experiments.execution.queue`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from joblib.externals.loky.process_executor import TerminatedWorkerError

from insphere.errors import InsphereError
from insphere.experiments.execution.backends import Backend, start_workers
from insphere.experiments.execution.worker import run_group
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.jsonl_rows import read_rows
from insphere.experiments.store.run_record import Run
from insphere.experiments.store.run_store import Store

LOOK_SECONDS = 0.5
_PATIENCE = 5.0  # seconds
_CHANCES = 2  # how often a run is started in one sweep if its process is killed

Watch = Callable[[list[Run]], None]


def run_specs(
    specs: Sequence[RunSpec],
    store: Store,
    *,
    jobs: int | None = None,
    backend: Backend = "loky",
    threads: int | None = None,
    retry_failed: bool = False,
    save_models: bool = False,
    rows: Path | None = None,
    checkpoints: Path | None = None,
    watch: Watch | None = None,
) -> list[Run]:
    """Execute all runs that are not finished in the store.

    Finished and failed runs are not repeated. Interrupted ones continue from their checkpoints.
    Runs with the same data set, class and seed are executed one after the other in one process, so
    that they share a pretrained encoder. Runs that another process has claimed are skipped.

    Parameters
    ----------
    specs : sequence of RunSpec
        The runs.
    store : Store
        The store for the results.
    jobs : int, optional
        Number of processes; by default, and at most, one for each core. The cores are divided
        among them.
    backend : {"loky", "ray", "threading"}
        "loky": processes on this machine. "ray": a Ray cluster, or one started on this machine.
        "threading": this process.
    threads : int, optional
        Largest number of threads of each process; by default that of OMP_NUM_THREADS.
    retry_failed : bool
        Repeat failed runs.
    save_models : bool
        Save the model of each run, not only its scores.
    rows : pathlib.Path, optional
        File of finished runs as lines of JSON. It then determines which runs are finished: its rows
        are imported into the store, each new row is appended at once, and a run whose row was
        removed is repeated.
    checkpoints : pathlib.Path, optional
        Folder of checkpoints; by default one beside the store for each dataset, class and seed.
    watch : callable, optional
        Called with the current runs, twice a second and once at the end.

    Returns
    -------
    list of Run
        The runs of `specs`, in their order and in any state.

    Raises
    ------
    SpecError
        If the backend or the number of jobs is not possible.
    MissingExtraError
        If Ray is selected but not installed.
    KeyboardInterrupt
        After Ctrl-C; unfinished runs are then marked as interrupted.
    """
    identities = [spec.identity for spec in specs]
    store.recover()
    store.add(specs)
    store.requeue(identities, ("interrupted", "failed") if retry_failed else ("interrupted",))
    if rows is not None:
        listed = {row["run"] for row in read_rows(rows)}
        store.requeue((one for one in identities if one not in listed), ("finished",))
    work = partial(
        run_group,
        store=str(store.path),
        save_models=save_models,
        rows=rows,
        checkpoints=checkpoints,
    )
    killed: Counter[str] = Counter()
    with nullcontext() if watch is None else _watching(store, identities, watch):
        while groups := _queued(specs, store, rows):
            try:
                start_workers(
                    work,
                    groups,
                    backend=backend,
                    jobs=jobs,
                    threads=threads,
                    one_machine=store.path if store.journal == "wal" else None,
                )
            except TerminatedWorkerError:
                # One process was killed, and joblib then ended the others: try again.
                interrupted = _recover(store, identities)
                if not interrupted:
                    raise
                killed.update(interrupted)
                store.requeue(one for one in interrupted if killed[one] < _CHANCES)
            except BaseException:
                _recover(store, identities)
                raise
            else:
                break
    by_identity = {run.identity: run for run in store.runs(identities)}
    return [by_identity[identity] for identity in identities]


def grouped(specs: Iterable[RunSpec]) -> list[list[RunSpec]]:
    """Group specs that share images, preprocessing and the pretrained encoder."""
    groups: dict[tuple[Any, ...], list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault((spec.dataset, spec.normal, spec.seed), []).append(spec)
    return list(groups.values())


def as_they_end(tell: Callable[[Run], None]) -> Watch:
    """Return a `watch` for `run_specs` that reports each run once, when it ends.

    Parameters
    ----------
    tell : callable
        Called with each run that has finished or failed since this call.
    """
    began = time.time()
    reported: set[str] = set()

    def see(runs: list[Run]) -> None:
        for run in runs:
            ended = run.state in ("finished", "failed") and (run.finished or 0.0) >= began
            if ended and run.identity not in reported:
                reported.add(run.identity)
                tell(run)

    return see


def finished_rows(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Return the rows of runs. All must be finished.

    Raises
    ------
    InsphereError
        If a run is not finished; the message says which one, and why.
    """
    rows = []
    for run in runs:
        if run.state != "finished":
            normal = " + ".join(run.normal)
            raise InsphereError(
                f"The run {run.identity} ({run.method} on {run.dataset} {normal}) is {run.state}: "
                f"{run.reason or 'another process has it.'}"
            )
        rows.append(run.row())
    return rows


# ---------------------------------------------------------------------- inside


def _queued(specs: Sequence[RunSpec], store: Store, rows: Path | None) -> list[list[RunSpec]]:
    """Return the groups of unfinished runs, after importing the file of rows."""
    identities = {spec.identity for spec in specs}
    if rows is not None:
        store.import_rows(row for row in read_rows(rows) if row["run"] in identities)
    queued = {run.identity for run in store.runs(identities, states=("queued",))}
    return grouped(spec for spec in specs if spec.identity in queued)


def _recover(store: Store, identities: list[str]) -> list[str]:
    """Mark the runs of dead workers as interrupted; wait a moment for processes that are ending."""
    interrupted = store.recover()
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and store.runs(identities, states=("running",)):
        time.sleep(0.1)
        interrupted += store.recover()
    return [identity for identity in interrupted if identity in identities]


@contextmanager
def _watching(store: Store, identities: Sequence[str], watch: Watch) -> Iterator[None]:
    """Call `watch` regularly from a separate thread, and once more at the end."""
    over = threading.Event()

    def look() -> None:
        last = False
        while not last:
            last = over.wait(LOOK_SECONDS)
            watch(store.runs(identities))

    thread = threading.Thread(target=look, name="insphere-sweep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
