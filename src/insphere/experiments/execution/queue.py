"""A queue of runs in the store, and worker processes that execute them.

Each waiting run has a ticket. Workers take single runs first, then those of sweeps, each in the
order in which they were added. A worker is independent of the program that added the run: it
continues when that program ends, and another program with the same store can see it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from insphere.experiments.execution.backends import start_detached
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.runs.sweep_file import Sweep, make_sweep
from insphere.experiments.store.queue_models import PlannedSweep, Ticket
from insphere.experiments.store.run_record import Run, State
from insphere.experiments.store.run_store import Store

# ruff: isort: split
from sqlalchemy import Select, delete, literal_column, select, update  # `store` says if missing
from sqlalchemy.dialects.sqlite import insert

PAUSED = "Paused."
CANCELLED = "Cancelled."
PAUSE = 10.0  # seconds between two starts of a worker that ends at once
SIGN_OF_LIFE = 20.0  # seconds without a sign of life of a program after which idle workers end
_GO_ON: tuple[State, ...] = ("interrupted", "failed")


@dataclass(frozen=True)
class SweepState:
    """A sweep in the queue with its progress.

    Parameters
    ----------
    key, name : str
        As in `PlannedSweep`.
    identities : tuple of str
        Identities of its runs.
    counts : dict
        Runs by state.
    paused : bool
        Whether it is paused.
    """

    key: str
    name: str
    identities: tuple[str, ...]
    counts: dict[str, int]
    paused: bool

    @property
    def total(self) -> int:
        """Number of runs."""
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        """Number of runs that are waiting or running."""
        return self.counts["queued"] + self.counts["running"]


class Queue:
    """The queue of a store, and its workers.

    Parameters
    ----------
    store : Store
        The store.
    workers : int
        Number of worker processes.
    threads : int
        Number of threads of each.
    """

    def __init__(self, store: Store, *, workers: int = 1, threads: int = 1) -> None:
        self.store, self.workers, self.threads = store, workers, threads
        self._processes: dict[int, tuple[float, subprocess.Popen[bytes]]] = {}
        with FileLock(f"{store.path}.lock"), store.writing() as session:
            connection = session.connection()
            for table in (Ticket.__table__, PlannedSweep.__table__):
                table.create(connection, checkfirst=True)  # type: ignore[attr-defined]

    # ------------------------------------------------------------------ asking

    def ask(self, specs: Iterable[RunSpec], *, sweep: str | None = None) -> int:
        """Add runs to the queue, except those that are waiting, running or finished.

        Interrupted and failed runs are tried again; interrupted ones continue from their
        checkpoints.

        Returns
        -------
        int
            Number of runs that were added.
        """
        selected = list(specs)
        identities = [spec.identity for spec in selected]
        self.store.add(selected)
        self._ticket(identities, sweep)
        self.store.requeue(identities, _GO_ON)
        return len(self.store.runs(identities, states=("queued",)))

    def again(self, identity: str) -> None:
        """Repeat a finished run, to save its model."""
        self._ticket([identity], None)
        self.store.requeue([identity], ("finished", *_GO_ON))

    def cancel(self, identities: Sequence[str], reason: str = CANCELLED) -> int:
        """Stop runs. Their checkpoints are kept, and `ask` continues them."""
        return self.store.stop(identities, reason)

    def take(self, worker: str) -> RunSpec | None:
        """Claim the next run for a worker, in one statement; None if no run is waiting."""
        return self.store.claim_next(worker, _in_turn())

    def waiting(self) -> list[str]:
        """Return the identities of the waiting runs, in the order of execution."""
        with self.store.reading() as session:
            return list(session.scalars(_in_turn()))

    # ------------------------------------------------------------------ sweeps

    def start(self, content: Mapping[str, Any]) -> str:
        """Add all runs of a sweep to the queue, and return the key of the sweep.

        Parameters
        ----------
        content : mapping
            Content of a sweep file; see `insphere.experiments.runs.sweep_file`.

        Raises
        ------
        SpecError
            If the content has a mistake.
        """
        sweep = make_sweep(content)
        sweep.check()
        specs = [run.spec for run in sweep.runs()]
        text = json.dumps(dict(content), sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        values = {"key": key, "name": sweep.name, "content": dict(content), "created": time.time()}
        with self.store.writing() as session:
            session.execute(insert(PlannedSweep).values(values).on_conflict_do_nothing())
        self.ask(specs, sweep=key)
        return key

    def sweeps(self) -> list[SweepState]:
        """Return all sweeps, the latest first."""
        with self.store.reading() as session:
            rows = list(session.scalars(select(PlannedSweep).order_by(PlannedSweep.created.desc())))
        return [self._state(row) for row in rows]

    def pause(self, key: str) -> None:
        """Stop the runs of a sweep until it is resumed."""
        self.cancel(self._open_runs(key), PAUSED)

    def resume(self, key: str) -> None:
        """Continue the unfinished runs of a sweep."""
        self.ask((run.spec for run in self._planned(key)[0].runs()), sweep=key)

    def cancel_sweep(self, key: str) -> None:
        """Stop the runs of a sweep for good. Finished runs are kept."""
        self.cancel(self._open_runs(key))
        identities = self._planned(key)[1]
        query = update(Run).where(Run.identity.in_(identities), Run.reason == PAUSED)
        with self.store.writing() as session:
            session.execute(query.values(reason=CANCELLED))

    def forget_sweep(self, key: str) -> None:
        """Remove a sweep from the list. Its runs are kept."""
        with self.store.writing() as session:
            session.execute(delete(PlannedSweep).where(PlannedSweep.key == key))

    # ------------------------------------------------------------------ workers

    def keep_working(self) -> None:
        """Record a sign of life, mark the runs of dead workers, and start missing workers.

        There are as many workers as there are open runs, and at least one, which starts a run at
        once: an idle worker takes more than half a gigabyte of memory.
        """
        folder = self._folder()
        (folder / "asking").touch()
        self.store.recover()
        open_runs = len(self.waiting()) + len(self.store.runs(states=("running",)))
        for slot in range(min(self.workers, max(1, open_runs))):
            if not self._taken(slot) and self._may_start(slot):
                self._start(slot)

    def alive(self) -> int:
        """Return the number of living workers."""
        return sum(self._taken(slot) for slot in range(self.workers))

    def wanted(self) -> bool:
        """Whether an idle worker should wait, because a program may still add runs."""
        try:
            return time.time() - (self._folder() / "asking").stat().st_mtime < SIGN_OF_LIFE
        except FileNotFoundError:
            return False

    def dismiss(self) -> None:
        """Let idle workers end at once; busy ones first finish what is queued."""
        (self._folder() / "asking").unlink(missing_ok=True)

    def slot_lock(self, slot: int) -> FileLock:
        """Return the lock that one worker of the queue holds while it lives."""
        return FileLock(self._folder() / f"slot-{slot}.lock", thread_local=False)

    # ------------------------------------------------------------------ inside

    def _folder(self) -> Path:
        folder = self.store.folder / "workers"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _taken(self, slot: int) -> bool:
        try:
            with self.slot_lock(slot).acquire(timeout=0):
                return False
        except Timeout:
            return True

    def _may_start(self, slot: int) -> bool:
        """Whether this slot has no living worker, and none was started a moment ago."""
        started, process = self._processes.get(slot, (-PAUSE, None))
        lives = process is not None and process.poll() is None
        return not lives and time.monotonic() - started > PAUSE

    def _start(self, slot: int) -> None:
        """Start a worker; it ends by itself if another has the slot."""
        process = start_detached(
            "insphere.experiments.execution.queue_worker",
            [str(self.store.path.absolute()), str(slot), str(self.threads)],
            threads=self.threads,
            log=self._folder() / f"slot-{slot}.log",
        )
        self._processes[slot] = time.monotonic(), process

    def _ticket(self, identities: Sequence[str], sweep: str | None) -> None:
        """Create tickets. A run that waits as part of a sweep moves to the front."""
        with self.store.writing() as session:
            for identity in identities:
                values = {"identity": identity, "asked": time.time(), "sweep": sweep}
                query = insert(Ticket).values(values)
                if sweep is None:
                    query = query.on_conflict_do_update(
                        index_elements=[Ticket.identity],
                        set_={"sweep": None, "asked": values["asked"]},
                    )
                else:
                    query = query.on_conflict_do_nothing()
                session.execute(query)

    def _planned(self, key: str) -> tuple[Sweep, tuple[str, ...]]:
        with self.store.reading() as session:
            row = session.get(PlannedSweep, key)
        return _planned_runs(row.content if row is not None else {})

    def _open_runs(self, key: str) -> list[str]:
        """Return the open runs of a sweep that were not also added as single runs."""
        identities = self._planned(key)[1]
        with self.store.reading() as session:
            query = select(Ticket.identity).where(Ticket.sweep.is_not(None))
            of_sweeps = set(session.scalars(query))
        return [identity for identity in identities if identity in of_sweeps]

    def _state(self, row: PlannedSweep) -> SweepState:
        identities = _planned_runs(row.content)[1]
        counts = dict.fromkeys(("finished", "running", "queued", "interrupted", "failed"), 0)
        runs = self.store.runs(identities)
        for run in runs:
            counts[run.state] += 1
        paused = any(run.state == "interrupted" and run.reason == PAUSED for run in runs)
        return SweepState(row.key, row.name, identities, counts, paused)


def _in_turn() -> Select[Any]:
    """Select the waiting runs: single runs, then those of sweeps, each in the order of adding."""
    return (
        select(Ticket.identity)
        .join(Run, Run.identity == Ticket.identity)
        .where(Run.state == "queued")
        .order_by(Ticket.sweep.is_not(None), Ticket.asked, literal_column("tickets.rowid"))
    )


def _planned_runs(content: Mapping[str, Any]) -> tuple[Sweep, tuple[str, ...]]:
    """Return a sweep and the identities of its runs; cached, because they are shown often."""
    return _of_text(json.dumps(dict(content), sort_keys=True))


@lru_cache(maxsize=64)
def _of_text(text: str) -> tuple[Sweep, tuple[str, ...]]:
    sweep = make_sweep(json.loads(text))
    return sweep, tuple(run.spec.identity for run in sweep.runs())
