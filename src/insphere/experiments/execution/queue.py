"""A queue of runs in the store, and processes of their own that work it off.

What is asked for has a ticket. Workers take single runs first, then those of sweeps, each in the
order in which they were asked for. A worker is no child of the program that asks: it goes on when
that program ends, and another program that opens the same store finds it at work.
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
PAUSE = 10.0  # seconds between two starts of a worker that does not stay
SIGN_OF_LIFE = 20.0  # seconds without a sign of life after which idle workers go home
_GO_ON: tuple[State, ...] = ("interrupted", "failed")


@dataclass(frozen=True)
class SweepState:
    """A sweep of the queue, and how far it is.

    Parameters
    ----------
    key, name : str
        Of `PlannedSweep`.
    identities : tuple of str
        Of its runs.
    counts : dict
        Runs by state.
    paused : bool
        Whether its runs wait for somebody to resume it.
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
    """What was asked for, and who works on it.

    Parameters
    ----------
    store : Store
        The runs.
    workers : int
        Processes at once.
    threads : int
        Threads of each.
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
        """Put runs into the queue, unless they are there, at work or finished.

        Interrupted and failed runs are tried again, the former from their checkpoints.

        Returns
        -------
        int
            How many are now to be done because of this.
        """
        chosen = list(specs)
        identities = [spec.identity for spec in chosen]
        self.store.add(chosen)
        self._ticket(identities, sweep)
        self.store.requeue(identities, _GO_ON)
        return len(self.store.runs(identities, states=("queued",)))

    def again(self, identity: str) -> None:
        """Run a finished run once more, to have its model too."""
        self._ticket([identity], None)
        self.store.requeue([identity], ("finished", *_GO_ON))

    def cancel(self, identities: Sequence[str], reason: str = CANCELLED) -> int:
        """Stop runs; their checkpoints stay, and `ask` continues them."""
        return self.store.stop(identities, reason)

    def take(self, worker: str) -> RunSpec | None:
        """Claim the next run for a worker, in one statement; None if there is nothing to do."""
        return self.store.claim_next(worker, _in_turn())

    def waiting(self) -> list[str]:
        """Return the identities of what waits, in the order in which it will be taken."""
        with self.store.reading() as session:
            return list(session.scalars(_in_turn()))

    # ------------------------------------------------------------------ sweeps

    def start(self, content: Mapping[str, Any]) -> str:
        """Put all runs of a sweep into the queue, and return the key of the sweep.

        Parameters
        ----------
        content : mapping
            What a sweep file says; see `insphere.experiments.runs.sweep_file`.

        Raises
        ------
        SpecError
            If there is a mistake in it.
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
        """Stop a sweep's runs until it is resumed."""
        self.cancel(self._open_runs(key), PAUSED)

    def resume(self, key: str) -> None:
        """Go on with what is not finished of a sweep."""
        self.ask((run.spec for run in self._planned(key)[0].runs()), sweep=key)

    def cancel_sweep(self, key: str) -> None:
        """Stop a sweep's runs for good; what is finished stays."""
        self.cancel(self._open_runs(key))
        identities = self._planned(key)[1]
        query = update(Run).where(Run.identity.in_(identities), Run.reason == PAUSED)
        with self.store.writing() as session:
            session.execute(query.values(reason=CANCELLED))

    def forget_sweep(self, key: str) -> None:
        """Take a sweep off the list; its runs stay."""
        with self.store.writing() as session:
            session.execute(delete(PlannedSweep).where(PlannedSweep.key == key))

    # ------------------------------------------------------------------ workers

    def keep_working(self) -> None:
        """Give a sign of life, mark what dead workers left, and start workers that are missing."""
        folder = self._folder()
        (folder / "asking").touch()
        self.store.recover()
        for slot in range(self.workers):
            if not self._taken(slot) and self._may_start(slot):
                self._start(slot)

    def alive(self) -> int:
        """Count the workers."""
        return sum(self._taken(slot) for slot in range(self.workers))

    def wanted(self) -> bool:
        """Whether an idle worker should stay, since somebody may ask for more."""
        try:
            return time.time() - (self._folder() / "asking").stat().st_mtime < SIGN_OF_LIFE
        except FileNotFoundError:
            return False

    def dismiss(self) -> None:
        """Let idle workers go home at once; those at work finish what is queued."""
        (self._folder() / "asking").unlink(missing_ok=True)

    def slot_lock(self, slot: int) -> FileLock:
        """Return the lock that one worker of the queue holds for as long as it lives."""
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
        """Whether no worker of this slot was started that lives, or a moment ago."""
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
        """Give tickets; a single run keeps its place, and one from a sweep moves to the front."""
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
        """Return what a sweep has open and nobody asked for by itself."""
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
    """Select what waits: single runs, then those of sweeps, each in the order of asking."""
    return (
        select(Ticket.identity)
        .join(Run, Run.identity == Ticket.identity)
        .where(Run.state == "queued")
        .order_by(Ticket.sweep.is_not(None), Ticket.asked, literal_column("tickets.rowid"))
    )


def _planned_runs(content: Mapping[str, Any]) -> tuple[Sweep, tuple[str, ...]]:
    """Return a sweep and the identities of its runs, which people look at again and again."""
    return _of_text(json.dumps(dict(content), sort_keys=True))


@lru_cache(maxsize=64)
def _of_text(text: str) -> tuple[Sweep, tuple[str, ...]]:
    sweep = make_sweep(json.loads(text))
    return sweep, tuple(run.spec.identity for run in sweep.runs())
