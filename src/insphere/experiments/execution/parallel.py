"""Runs many specs in parallel processes and records each in a store, by joblib."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from insphere.errors import SpecError, require
from insphere.experiments.execution.row_sweep import grouped
from insphere.experiments.execution.worker import run_group
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.run_record import Run
from insphere.experiments.store.run_store import Store

Backend = Literal["loky", "ray", "threading"]
BACKENDS: tuple[Backend, ...] = ("loky", "ray", "threading")
_PATIENCE = 5.0  # seconds
_CHANCES = 2  # how often a run whose process was killed is started within one sweep


@dataclass(frozen=True)
class Cores:
    """How many runs at once, and the threads of each; their product is at most the cores.

    Parameters
    ----------
    jobs, threads : int
        Runs at once, threads of each.
    """

    jobs: int
    threads: int


def share_cores(
    groups: int, jobs: int | None, backend: Backend, cores: int, threads: int | None = None
) -> Cores:
    """Choose how to use the cores.

    Parameters
    ----------
    groups : int
        Groups of runs that are to be run one after the other.
    jobs : int or None
        Runs at once that are wanted; by default as many as there are cores.
    backend : {"loky", "ray", "threading"}
        Where they run.
    cores : int
        Cores there are.
    threads : int, optional
        Threads that each may have at most.

    Raises
    ------
    SpecError
        If that many runs cannot be had.

    Examples
    --------
    >>> share_cores(10, None, "loky", 8), share_cores(2, None, "loky", 8)
    (Cores(jobs=8, threads=1), Cores(jobs=2, threads=4))
    """
    if backend not in BACKENDS:
        raise SpecError(f"Unknown backend {backend!r}; use one of {', '.join(BACKENDS)}.")
    if jobs is not None and jobs < 1:
        raise SpecError(f"jobs is a whole number from 1 on, but got {jobs}.")
    if backend == "threading":
        if jobs not in (None, 1):
            raise SpecError(
                "The threading backend runs one after the other, since all threads of a process "
                f"share one source of random numbers: use jobs=1, not {jobs}, or the loky backend."
            )
        jobs = 1
    used = max(1, min(jobs or cores, cores, groups))
    return Cores(used, min(cores // used, threads or cores))


def run_stored(
    specs: Sequence[RunSpec],
    store: Store,
    *,
    jobs: int | None = None,
    backend: Backend = "loky",
    retry_failed: bool = False,
    save_models: bool = False,
) -> list[Run]:
    """Run all specs that are not finished in the store yet.

    Finished and failed runs are left as they are, interrupted ones continue from their
    checkpoints. Specs with the same dataset, class and seed run one after the other in one
    process, so that they find each other's pretrained encoder. Runs that another process has
    claimed are left to it.

    Parameters
    ----------
    specs : sequence of RunSpec
        What to run.
    store : Store
        Where to record it.
    jobs : int, optional
        Processes; by default, and at most, as many as there are cores. The cores are shared among
        them.
    backend : {"loky", "ray", "threading"}
        "loky" are processes on this machine; "ray" runs on a Ray cluster, or on one started on
        this machine; "threading" stays in this process.
    retry_failed : bool
        Run those again that failed.
    save_models : bool
        Keep the model of each run, not only its scores.

    Returns
    -------
    list of Run
        The runs of `specs`, in their order, whatever became of them.

    Raises
    ------
    SpecError
        If the backend or the number of jobs cannot be had.
    MissingExtraError
        If Ray is asked for and not installed.
    KeyboardInterrupt
        After Ctrl-C; runs that were running are then marked as interrupted.
    """
    identities = [spec.identity for spec in specs]
    store.recover()
    store.add(specs)
    store.requeue(identities, ("interrupted", "failed") if retry_failed else ("interrupted",))
    killed: Counter[str] = Counter()
    while groups := grouped(_queued(specs, store)):
        try:
            _run(groups, store, jobs, backend, save_models)
        except TerminatedWorkerError:
            # One process was killed, and with it joblib ended the others: all are tried once more.
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


def available_cores() -> int:
    """Count the cores that this process may use."""
    return int(cpu_count())


def thread_limit() -> int | None:
    """Return the threads that OMP_NUM_THREADS allows, if it says anything."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(given) if given.isdecimal() and int(given) else None


def _queued(specs: Sequence[RunSpec], store: Store) -> list[RunSpec]:
    queued = {run.identity for run in store.runs([s.identity for s in specs], states=("queued",))}
    return [spec for spec in specs if spec.identity in queued]


def _recover(store: Store, identities: list[str]) -> list[str]:
    """Mark what dead workers left; processes that were told to end may take a moment."""
    interrupted = store.recover()
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and store.runs(identities, states=("running",)):
        time.sleep(0.1)
        interrupted += store.recover()
    return [identity for identity in interrupted if identity in identities]


def _run(
    groups: list[list[RunSpec]], store: Store, jobs: int | None, backend: Backend, models: bool
) -> None:
    with _executor(backend, jobs, store) as available:
        cores = share_cores(len(groups), jobs, backend, available, thread_limit())
        options: dict[str, Any] = {"n_jobs": cores.jobs, "batch_size": 1, "pre_dispatch": "all"}
        if backend == "loky":
            options |= {"backend": "loky", "inner_max_num_threads": cores.threads}
        elif backend == "threading":
            options |= {"backend": "threading"}
        Parallel(**options)(
            delayed(run_group)(
                group,
                str(store.path),
                threads=1 if backend == "ray" else cores.threads,
                save_models=models,
                main=os.getpid(),
                leave=backend == "loky",
            )
            for group in groups
        )


@contextmanager
def _executor(backend: Backend, jobs: int | None, store: Store) -> Iterator[int]:
    """Make the backend ready, and say how many cores it has."""
    if backend != "ray":
        yield available_cores()
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = require("ray", "ray", "The Ray backend")
    own = not ray.is_initialized()
    if own:
        there = "RAY_ADDRESS" in os.environ
        cores = {} if there else {"num_cpus": min(jobs or available_cores(), available_cores())}
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error", **cores)
    try:
        if store.journal == "wal" and sum(node["Alive"] for node in ray.nodes()) > 1:
            raise SpecError(
                f"The store {store.path} can be written on one machine only, but this Ray cluster "
                "has several: make one in a folder that they share, with "
                'Store(path, journal="delete").'
            )
        require("ray.util.joblib", "ray", "The Ray backend").register_ray()
        with parallel_config("ray"):
            yield int(ray.cluster_resources()["CPU"])
    finally:
        if own:
            ray.shutdown()
