"""Ways of starting workers: joblib's processes, a Ray cluster, this process, a detached process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from joblib import Parallel, cpu_count, delayed, parallel_config

from insphere.errors import SpecError, require

Backend = Literal["loky", "ray", "threading"]
BACKENDS: tuple[Backend, ...] = ("loky", "ray", "threading")


@dataclass(frozen=True)
class Cores:
    """Number of runs at a time and threads of each; their product is at most the cores.

    Parameters
    ----------
    jobs, threads : int
        Runs at a time, and threads of each.
    """

    jobs: int
    threads: int


def share_cores(
    groups: int, jobs: int | None, backend: Backend, cores: int, threads: int | None = None
) -> Cores:
    """Divide the cores among runs.

    Parameters
    ----------
    groups : int
        Number of groups; the runs of a group are executed one after the other.
    jobs : int or None
        Wanted number of runs at a time; by default one for each core.
    backend : {"loky", "ray", "threading"}
        The backend.
    cores : int
        Number of cores.
    threads : int, optional
        Largest number of threads for each.

    Raises
    ------
    SpecError
        If this number of runs at a time is not possible.

    Examples
    --------
    >>> share_cores(10, None, "loky", 8), share_cores(2, None, "loky", 8)
    (Cores(jobs=8, threads=1), Cores(jobs=2, threads=4))
    """
    if backend not in BACKENDS:
        raise SpecError(f"Unknown backend {backend!r}; use one of {', '.join(BACKENDS)}.")
    if jobs is not None and jobs < 1:
        raise SpecError(f"jobs is a whole number from 1 upwards, but got {jobs}.")
    if backend == "threading":
        if jobs not in (None, 1):
            raise SpecError(
                "The threading backend runs one after the other, since all threads of a process "
                f"share one source of random numbers: use jobs=1, not {jobs}, or the loky backend."
            )
        jobs = 1
    used = max(1, min(jobs or cores, cores, groups))
    return Cores(used, min(cores // used, threads or cores))


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return int(cpu_count())


def thread_limit() -> int | None:
    """Return the number of threads in OMP_NUM_THREADS, if it is set."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(given) if given.isdecimal() and int(given) else None


def start_workers(
    work: Callable[..., None],
    groups: Sequence[Any],
    *,
    backend: Backend,
    jobs: int | None = None,
    threads: int | None = None,
    one_machine: Path | None = None,
) -> None:
    """Call `work` with each group, several at a time, and wait until all have ended.

    Parameters
    ----------
    work : callable
        Called as ``work(group, threads=…, main=…, leave=…)``: the threads to compute with, the
        number of this process, and whether the worker ends when this process does.
    groups : sequence
        One group for each call.
    backend : {"loky", "ray", "threading"}
        Where they run.
    jobs : int, optional
        Calls at a time; by default, and at most, one for each core.
    threads : int, optional
        Largest number of threads for each; by default that of OMP_NUM_THREADS.
    one_machine : pathlib.Path, optional
        A file that all workers write, and that only one machine can write.

    Raises
    ------
    SpecError
        If the backend or the number of jobs is not possible.
    MissingExtraError
        If Ray is selected but not installed.
    joblib.externals.loky.process_executor.TerminatedWorkerError
        If one of the processes of joblib was killed; the others end with it.
    """
    with _executor(backend, jobs, one_machine) as available:
        cores = share_cores(len(groups), jobs, backend, available, threads or thread_limit())
        options: dict[str, Any] = {"n_jobs": cores.jobs, "batch_size": 1, "pre_dispatch": "all"}
        if backend == "loky":
            options |= {"backend": "loky", "inner_max_num_threads": cores.threads}
        elif backend == "threading":
            options |= {"backend": "threading"}
        Parallel(**options)(
            delayed(work)(
                group,
                threads=1 if backend == "ray" else cores.threads,
                main=os.getpid(),
                leave=backend == "loky",
            )
            for group in groups
        )


def start_detached(
    module: str, arguments: Sequence[str], *, threads: int, log: Path
) -> subprocess.Popen[bytes]:
    """Start ``python -m module`` as a process that outlives this one.

    Parameters
    ----------
    module : str
        Name of the module.
    arguments : sequence of str
        Its arguments.
    threads : int
        Number of threads.
    log : pathlib.Path
        File to which its output is appended.
    """
    environment = os.environ | {
        "PYTHONSAFEPATH": "1",  # for child processes
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }
    with log.open("ab") as file:
        return subprocess.Popen(
            # -P: no module is imported from the current folder, whatever its files are called.
            [sys.executable, "-P", "-m", module, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


@contextmanager
def _executor(backend: Backend, jobs: int | None, one_machine: Path | None) -> Iterator[int]:
    """Prepare the backend, and return its number of cores."""
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
        if one_machine is not None and sum(node["Alive"] for node in ray.nodes()) > 1:
            raise SpecError(
                f"The store {one_machine} can be written on one machine only, but this Ray "
                "cluster has several: make one in a folder that they share, with "
                'Store(path, journal="delete").'
            )
        require("ray.util.joblib", "ray", "The Ray backend").register_ray()
        with parallel_config("ray"):
            yield int(ray.cluster_resources()["CPU"])
    finally:
        if own:
            ray.shutdown()
