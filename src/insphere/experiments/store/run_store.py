"""All runs in one SQLite file; scores, histories and models in a folder beside it.

Several processes can read and write at the same time. A worker claims a run in one SQL statement,
so no run is started twice. Every worker holds a lock on its own file. The operating system releases
the lock when the worker ends or is killed, so its unfinished run is detected and can be continued.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from insphere.errors import DataError
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.database import Journal, open_database
from insphere.experiments.store.run_files import RunFiles
from insphere.experiments.store.run_record import (
    Base,
    Run,
    State,
    result_values,
    spec_of_row,
    spec_values,
)
from insphere.experiments.store.upgrade import name_the_recipe

# ruff: isort: split
from sqlalchemy import Select, case, func, literal_column, select, update  # `database` checks
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

SILENCE = 60.0  # seconds without a heartbeat, if there is no lock to check
_PART = 500  # identities in one statement


class Store:
    """A store of runs in one SQLite file.

    Parameters
    ----------
    path : path
        The SQLite file; created if it does not exist.
    create : bool
        Whether to create a missing file.
    journal : {"wal", "delete"}, optional
        Journal mode of SQLite. "wal" needs all processes on one machine; "delete" also works in a
        folder that machines share. By default a new file gets "wal", and an existing one is not
        changed.

    Attributes
    ----------
    path : Path
        The file.
    folder : Path
        The folder beside it: one folder for each run, ``checkpoints`` and ``workers``.
    files : RunFiles
        Scores, histories and models in that folder.

    Raises
    ------
    DataError
        If the file is missing and `create` is false, is not a store, or has another version.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp() + "/runs.sqlite")
    >>> spec = RunSpec(dataset="digits-8x8", normal=("3",), method="knn")
    >>> store.add([spec]), store.add([spec])
    (1, 0)
    >>> [run.state for run in store.runs()]
    ['queued']
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        create: bool = True,
        journal: Journal | None = None,
    ) -> None:
        self.path = Path(path).absolute()
        if not self.path.name:
            raise DataError(f"{self.path} is a folder; name the file of a store of runs.")
        self.folder = self.path.with_suffix("") if self.path.suffix else self.path.with_suffix(".d")
        if not create and not self.path.is_file():
            raise DataError(
                f"There is no store {path} yet; insphere sweep run makes one, and insphere ablate."
            )
        self.files = RunFiles(self.folder)
        self._engine = open_database(
            self.path, journal, Base.metadata, partial(name_the_recipe, folder=self.folder)
        )
        self._writer = self._engine.execution_options(write=True)

    @property
    def journal(self) -> str:
        """Journal mode of SQLite: "wal" or "delete"."""
        with self._engine.connect() as connection:
            return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())

    def close(self) -> None:
        """Close all connections. The store opens new ones at its next use."""
        self._engine.dispose()

    # ------------------------------------------------------------------ transactions

    def reading(self) -> Session:
        """Open a transaction for consistent reading."""
        return Session(self._engine, expire_on_commit=False)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction for writing.

        Raises
        ------
        InsphereError
            If the file cannot be written.
        """
        with Session(self._writer) as session, session.begin():
            yield session

    # ------------------------------------------------------------------ what is there

    def runs(
        self, identities: Iterable[str] | None = None, *, states: Sequence[State] | None = None
    ) -> list[Run]:
        """Return runs in the order in which they were added.

        Parameters
        ----------
        identities : iterable of str, optional
            The runs to return; by default all.
        states : sequence of str, optional
            Only those in one of these states.
        """
        query = select(Run).order_by(literal_column("runs.rowid"))
        if states is not None:
            query = query.where(Run.state.in_(states))
        with Session(self._engine, expire_on_commit=False) as session:
            if identities is None:
                return list(session.scalars(query))
            return [
                run
                for part in _parts(identities)
                for run in session.scalars(query.where(Run.identity.in_(part)))
            ]

    def count(self) -> int:
        """Return the number of runs in all states."""
        with Session(self._engine) as session:
            return int(session.scalar(select(func.count()).select_from(Run)) or 0)

    def get(self, identity: str) -> Run | None:
        """Return one run, or None."""
        return next(iter(self.runs([identity])), None)

    def rows(self, identities: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Return finished runs in the form of `RunResult.row`."""
        return [run.row() for run in self.runs(identities, states=("finished",))]

    # ------------------------------------------------------------------ queue

    def add(self, specs: Iterable[RunSpec]) -> int:
        """Add the specs that the store does not have, as queued. Return their number."""
        added = 0
        with self.writing() as session:
            for spec in specs:
                values = spec_values(spec) | {"state": "queued", "created": time.time()}
                added += _count(
                    session.execute(insert(Run).values(values).on_conflict_do_nothing())
                )
        return added

    def requeue(self, identities: Iterable[str], states: Sequence[State] = ("interrupted",)) -> int:
        """Queue the runs in one of `states` again. Return their number."""
        return self._change(
            identities,
            states,
            {"state": "queued", "reason": None, "details": None, "stop_requested": False},
        )

    def stop(self, identities: Iterable[str], reason: str = "Cancelled.") -> int:
        """Ask the workers of running runs to stop, and remove waiting runs from the queue.

        A stopped run is interrupted: its checkpoint is kept, and `requeue` continues it.
        """
        selected = list(identities)
        waiting = self._change(selected, ("queued",), {"state": "interrupted", "reason": reason})
        return waiting + self._change(
            selected, ("running",), {"stop_requested": True, "reason": reason}
        )

    def recover(self) -> list[str]:
        """Mark the runs of dead workers as interrupted, and return their identities."""
        dead: dict[str, bool] = {}
        interrupted = []
        for run in self.runs(states=("running",)):
            worker = str(run.worker)
            if worker not in dead:
                dead[worker] = self._is_dead(worker, run.heartbeat or 0.0)
            if dead[worker] and self.interrupt(run.identity, worker, "Its worker was killed."):
                interrupted.append(run.identity)
        return interrupted

    # ------------------------------------------------------------------ for workers

    def claim(self, identity: str, worker: str) -> bool:
        """Claim a run for a worker; False if it is not queued."""
        query = update(Run).where(Run.identity == identity, Run.state == "queued")
        with self.writing() as session:
            return _count(session.execute(query.values(_claimed(worker)))) == 1

    def claim_next(self, worker: str, waiting: Select[Any] | None = None) -> RunSpec | None:
        """Claim the first run of the queue in one statement; None if the queue is empty.

        Parameters
        ----------
        worker : str
            The worker.
        waiting : Select, optional
            The identities that can be claimed, in order; by default all queued ones, the oldest
            first.
        """
        if waiting is None:
            waiting = select(Run.identity).where(Run.state == "queued")
            waiting = waiting.order_by(Run.created, literal_column("runs.rowid"))
        first = waiting.limit(1).scalar_subquery()
        query = update(Run).where(Run.identity == first, Run.state == "queued")
        with self.writing() as session:
            identity = session.scalar(query.values(_claimed(worker)).returning(Run.identity))
        run = None if identity is None else self.get(identity)
        return None if run is None else run.spec

    def beat(self, identity: str, worker: str) -> None:
        """Record a sign of life of the worker."""
        self._own(identity, worker, {"heartbeat": time.time()})

    def must_stop(self, identity: str, worker: str) -> bool:
        """Return whether the worker must stop, or has lost the run."""
        query = select(Run.stop_requested).where(
            Run.identity == identity, Run.worker == worker, Run.state == "running"
        )
        with Session(self._engine) as session:
            return session.scalar(query) is not False

    def report(self, identity: str, worker: str, progress: Mapping[str, Any]) -> None:
        """Record the progress of the training."""
        self._own(identity, worker, {"progress": dict(progress), "heartbeat": time.time()})

    def finish(self, identity: str, worker: str, row: Mapping[str, Any]) -> bool:
        """Record a result; False if the worker has lost the run in the meantime."""
        return self._own(identity, worker, _finished() | result_values(row))

    def fail(self, identity: str, worker: str, reason: str, details: str | None = None) -> bool:
        """Record the reason of a failure."""
        values = _finished() | {"state": "failed", "reason": reason, "details": details}
        return self._own(identity, worker, values)

    def interrupt(self, identity: str, worker: str, reason: str) -> bool:
        """Record that a run was stopped before its end, with the reason that was given."""
        asked = case((Run.stop_requested, func.coalesce(Run.reason, reason)), else_=reason)
        values = {"state": "interrupted", "reason": asked, "progress": None}
        return self._own(identity, worker, values)

    def worker_lock(self, worker: str) -> FileLock:
        """Return the lock that a worker holds while it lives."""
        folder = self.folder / "workers"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{worker}.lock", thread_local=False)

    # ------------------------------------------------------------------ rows

    def import_rows(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Import finished runs from rows. Runs that are finished in the store are not changed.

        Returns
        -------
        int
            Number of new runs.

        Raises
        ------
        DataError
            If a row is not a finished run; then no row is imported.
        """
        added = 0
        with self.writing() as session:
            for row in rows:
                values = spec_values(spec_of_row(row)) | result_values(row)
                values |= {"state": "finished", "created": time.time()}
                query = insert(Run).values(values)
                result = {name: values[name] for name in ("state", *result_values(row))}
                query = query.on_conflict_do_update(
                    index_elements=[Run.identity],
                    set_=result | {"reason": None, "details": None},
                    where=Run.state.not_in(("finished", "running")),
                )
                added += _count(session.execute(query))
        return added

    # ------------------------------------------------------------------ inside

    def _change(
        self, identities: Iterable[str], states: Sequence[State], values: Mapping[str, Any]
    ) -> int:
        with self.writing() as session:
            return sum(
                _count(
                    session.execute(
                        update(Run)
                        .where(Run.identity.in_(part), Run.state.in_(states))
                        .values(dict(values))
                    )
                )
                for part in _parts(identities)
            )

    def _own(self, identity: str, worker: str, values: Mapping[str, Any]) -> bool:
        """Change a run if the worker still holds its claim."""
        query = update(Run).where(
            Run.identity == identity, Run.worker == worker, Run.state == "running"
        )
        with self.writing() as session:
            return _count(session.execute(query.values(dict(values)))) == 1

    def _is_dead(self, worker: str, heartbeat: float) -> bool:
        lock = self.worker_lock(worker)
        if not Path(lock.lock_file).exists():  # the folder was not moved with the file
            return time.time() - heartbeat > SILENCE
        try:
            with lock.acquire(timeout=0):
                pass
        except Timeout:
            return False
        Path(lock.lock_file).unlink(missing_ok=True)
        return True


def _claimed(worker: str) -> dict[str, Any]:
    now = time.time()
    return {
        "state": "running",
        "worker": worker,
        "started": now,
        "heartbeat": now,
        "finished": None,
        "reason": None,
        "details": None,
        "progress": None,
        "stop_requested": False,
        "attempts": Run.attempts + 1,
    }


def _finished() -> dict[str, Any]:
    return {
        "state": "finished",
        "finished": time.time(),
        "progress": None,
        "reason": None,
        "stop_requested": False,
    }


def _count(result: Any) -> int:
    return int(result.rowcount)


def _parts(identities: Iterable[str]) -> Iterator[list[str]]:
    selected = list(identities)
    for start in range(0, len(selected), _PART):
        yield selected[start : start + _PART]
