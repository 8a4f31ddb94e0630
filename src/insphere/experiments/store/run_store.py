"""All runs in one SQLite file; scores, histories and models in a folder beside it.

Several processes may read and write at once. A run is claimed in one statement, so nothing is
started twice. Every worker holds a lock on a file of its own, which the system releases however the
worker ends: what a killed worker left running is recognised and can be continued.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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

# ruff: isort: split
from sqlalchemy import Select, case, func, literal_column, select, update  # `database` checks
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

SILENCE = 60.0  # seconds without a heartbeat, where there is no lock to look at
_PART = 500  # identities in one statement


class Store:
    """A file of runs.

    Parameters
    ----------
    path : path
        The SQLite file; made if it is not there.
    create : bool
        Whether to make it.
    journal : {"wal", "delete"}, optional
        How SQLite keeps writers apart: "wal" needs all processes on one machine, "delete" also
        works in a folder that machines share. By default a new file gets "wal", and an old one
        stays as it is.

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
        If the file is missing and not to be made, is no store, or one of another version.

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
        self._engine = open_database(self.path, journal, Base.metadata)
        self._writer = self._engine.execution_options(write=True)

    @property
    def journal(self) -> str:
        """How SQLite keeps writers apart: "wal" or "delete"."""
        with self._engine.connect() as connection:
            return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())

    def close(self) -> None:
        """Close all connections; the store opens new ones when it is used again."""
        self._engine.dispose()

    # ------------------------------------------------------------------ transactions

    def reading(self) -> Session:
        """Look at several things at one moment."""
        return Session(self._engine, expire_on_commit=False)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Change several things in one transaction, or nothing.

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
        """Return runs in the order in which they came.

        Parameters
        ----------
        identities : iterable of str, optional
            Which ones; by default all.
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
        """Return how many runs there are, whatever their state."""
        with Session(self._engine) as session:
            return int(session.scalar(select(func.count()).select_from(Run)) or 0)

    def get(self, identity: str) -> Run | None:
        """Return one run; None if it is not there."""
        return next(iter(self.runs([identity])), None)

    def rows(self, identities: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Return finished runs in the form of `RunResult.row`."""
        return [run.row() for run in self.runs(identities, states=("finished",))]

    # ------------------------------------------------------------------ queue

    def add(self, specs: Iterable[RunSpec]) -> int:
        """Queue the specs that are not there yet, and return how many were not."""
        added = 0
        with self.writing() as session:
            for spec in specs:
                values = spec_values(spec) | {"state": "queued", "created": time.time()}
                added += _count(
                    session.execute(insert(Run).values(values).on_conflict_do_nothing())
                )
        return added

    def requeue(self, identities: Iterable[str], states: Sequence[State] = ("interrupted",)) -> int:
        """Put runs in one of `states` back into the queue, and return how many there were."""
        return self._change(
            identities,
            states,
            {"state": "queued", "reason": None, "details": None, "stop_requested": False},
        )

    def stop(self, identities: Iterable[str], reason: str = "Cancelled.") -> int:
        """Ask the workers of running runs to stop, and take waiting runs from the queue.

        A stopped run is interrupted: its checkpoint stays, and `requeue` continues it.
        """
        chosen = list(identities)
        waiting = self._change(chosen, ("queued",), {"state": "interrupted", "reason": reason})
        return waiting + self._change(
            chosen, ("running",), {"stop_requested": True, "reason": reason}
        )

    def recover(self) -> list[str]:
        """Mark as interrupted what dead workers left running, and return these identities."""
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
        """Take a run from the queue; False if it is not there, or no longer."""
        query = update(Run).where(Run.identity == identity, Run.state == "queued")
        with self.writing() as session:
            return _count(session.execute(query.values(_claimed(worker)))) == 1

    def claim_next(self, worker: str, waiting: Select[Any] | None = None) -> RunSpec | None:
        """Take the first run of the queue, in one statement; None if the queue is empty.

        Parameters
        ----------
        worker : str
            Who takes it.
        waiting : Select, optional
            The identities that may be taken, in their order; by default all that are queued,
            those first that have waited for longest.
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
        """Say that the worker lives."""
        self._own(identity, worker, {"heartbeat": time.time()})

    def must_stop(self, identity: str, worker: str) -> bool:
        """Tell whether the worker is asked to stop, or the run is no longer its own."""
        query = select(Run.stop_requested).where(
            Run.identity == identity, Run.worker == worker, Run.state == "running"
        )
        with Session(self._engine) as session:
            return session.scalar(query) is not False

    def report(self, identity: str, worker: str, progress: Mapping[str, Any]) -> None:
        """Say how far the training is."""
        self._own(identity, worker, {"progress": dict(progress), "heartbeat": time.time()})

    def finish(self, identity: str, worker: str, row: Mapping[str, Any]) -> bool:
        """Record a result; False if the run was taken from the worker in the meantime."""
        return self._own(identity, worker, _finished() | result_values(row))

    def fail(self, identity: str, worker: str, reason: str, details: str | None = None) -> bool:
        """Record why a run has no result."""
        values = _finished() | {"state": "failed", "reason": reason, "details": details}
        return self._own(identity, worker, values)

    def interrupt(self, identity: str, worker: str, reason: str) -> bool:
        """Record that a run was stopped before its end; who asked for it has given the reason."""
        asked = case((Run.stop_requested, func.coalesce(Run.reason, reason)), else_=reason)
        values = {"state": "interrupted", "reason": asked, "progress": None}
        return self._own(identity, worker, values)

    def worker_lock(self, worker: str) -> FileLock:
        """Return the lock that a worker holds for as long as it lives."""
        folder = self.folder / "workers"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{worker}.lock", thread_local=False)

    # ------------------------------------------------------------------ rows

    def import_rows(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Take finished runs from rows; those that are finished here already stay as they are.

        Returns
        -------
        int
            How many were new.

        Raises
        ------
        DataError
            If a row is no finished run; then none is taken.
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
        """Change a run that the worker has claimed and nobody has taken from it."""
        query = update(Run).where(
            Run.identity == identity, Run.worker == worker, Run.state == "running"
        )
        with self.writing() as session:
            return _count(session.execute(query.values(dict(values)))) == 1

    def _is_dead(self, worker: str, heartbeat: float) -> bool:
        lock = self.worker_lock(worker)
        if not Path(lock.lock_file).exists():  # the folder stayed elsewhere
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
    chosen = list(identities)
    for start in range(0, len(chosen), _PART):
        yield chosen[start : start + _PART]
