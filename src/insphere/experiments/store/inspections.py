"""Detectors of photos, the photos that they scored and people's reviews, in the store of runs.

Photos, models and pictures are files beside the store: ``inspections/IDENTITY`` holds ``photos``,
``model`` and ``batches/IDENTITY``.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from filelock import FileLock, Timeout

from insphere.errors import DataError
from insphere.experiments.store.inspection_models import (
    REVIEWS,
    TABLES,
    Batch,
    Inspection,
    JobState,
    Photo,
    Review,
    ReviewStep,
)
from insphere.experiments.store.run_store import Store
from insphere.scoring.reviews import ReviewCounts
from insphere.workflows.group_table import GROUPS

# ruff: isort: split
from sqlalchemy import (  # `store` says if missing
    ColumnElement,
    Select,
    func,
    literal_column,
    select,
    update,
)

Job = Literal["train", "score"]
JOBS: tuple[Job, ...] = ("train", "score")
Shown = Literal["alarms", "open", "reviewed", "all", "unreadable"]
SHOWN: tuple[Shown, ...] = ("alarms", "open", "reviewed", "all", "unreadable")
DEFECTS = "anomalies"
"""Folder of photos of defects, beside the good ones."""
REGION = "region.png"
"""Picture that is white where photos are judged, beside the good ones."""
IDENTITY = re.compile(r"[0-9a-f]{12}")
_MANY = 500  # rows in one statement


@dataclass(frozen=True)
class PhotoCounts:
    """How many photos of a batch there are.

    Attributes
    ----------
    done, total : int
        Photos that were scored or found to be unreadable, and all.
    shown : dict
        Photos in each part of `Inspections.queue`.
    """

    done: int
    total: int
    shown: dict[Shown, int]


class Inspections:
    """The detectors of photos in a store.

    Parameters
    ----------
    store : Store
        Whose file and folder are used.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.root = store.folder / "inspections"
        with FileLock(f"{store.path}.lock"), store.writing() as session:
            connection = session.connection()
            for table in TABLES:
                table.create(connection, checkfirst=True)  # type: ignore[attr-defined]
            known = {row[1] for row in connection.exec_driver_sql("PRAGMA table_info(photos)")}
            if "kind" not in known:  # a store of an earlier version
                connection.exec_driver_sql("ALTER TABLE photos ADD COLUMN kind VARCHAR")

    # ------------------------------------------------------------------ files

    def folder(self, identity: str) -> Path:
        """Return the folder of an inspection, which need not exist."""
        return self.root / _checked(identity)

    def photos(self, identity: str) -> Path:
        """Return the folder of the good photos of an inspection."""
        return self.folder(identity) / "photos"

    def model(self, identity: str) -> Path:
        """Return the folder of the model of an inspection."""
        return self.folder(identity) / "model"

    def defects(self, identity: str) -> Path:
        """Return the folder of photos of defects of an inspection, which need not exist."""
        return self.folder(identity) / DEFECTS

    def groups(self, identity: str) -> Path:
        """Return the table of groups of an inspection, which need not exist."""
        return self.folder(identity) / GROUPS

    def region(self, identity: str) -> Path:
        """Return the picture of what is judged of an inspection, which need not exist."""
        return self.folder(identity) / REGION

    def reference(self, identity: str) -> Path:
        """Return the file of the mean good photo, which need not exist."""
        return self.folder(identity) / "mean.npy"

    def pictures(self, identity: str) -> Path:
        """Return the folder of the pictures that explain an inspection."""
        return self.folder(identity) / "pictures"

    def batch_folder(self, batch: Batch) -> Path:
        """Return the folder of a batch: ``photos`` in it, and pictures made of them."""
        return self.folder(batch.inspection) / "batches" / _checked(batch.identity)

    def job_lock(self, job: Job) -> FileLock:
        """Return the lock that the process for a kind of job holds while it lives."""
        folder = self.store.folder / "workers"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"inspections-{job}.lock", thread_local=False)

    # ------------------------------------------------------------------ inspections

    def add(
        self,
        title: str,
        settings: Mapping[str, Any],
        photos: Path,
        parent: str | None = None,
        beside: Iterable[Path] = (),
    ) -> Inspection:
        """Add an inspection that waits for its training.

        Parameters
        ----------
        title : str
            Name for people.
        settings : mapping
            Of the training.
        photos : pathlib.Path
            Folder of the good photos; it is moved into the store.
        parent : str, optional
            The inspection that it follows.
        beside : iterable of pathlib.Path
            Files and folders that are moved beside the photos under their names.
        """
        identity = uuid4().hex[:12]
        self.folder(identity).mkdir(parents=True)
        shutil.move(photos, self.photos(identity))
        for place in beside:
            shutil.move(place, self.folder(identity) / place.name)
        found = Inspection(
            identity=identity, title=title[:80] or "Photos", settings=dict(settings),
            parent=parent, state="waiting", created=time.time(),
        )  # fmt: skip
        with self.store.writing() as session:
            session.add(found)
        return self.need(identity)

    def all(self) -> list[Inspection]:
        """Return all inspections, the latest first."""
        with self.store.reading() as session:
            query = select(Inspection).order_by(Inspection.created.desc())
            return list(session.scalars(query))

    def get(self, identity: str) -> Inspection | None:
        """Return an inspection, or None."""
        with self.store.reading() as session:
            return session.get(Inspection, identity)

    def batches(self, inspection: str) -> list[Batch]:
        """Return the batches of an inspection, the latest first."""
        with self.store.reading() as session:
            query = select(Batch).where(Batch.inspection == inspection)
            return list(session.scalars(query.order_by(Batch.created.desc())))

    def batch(self, identity: str) -> Batch | None:
        """Return a batch, or None."""
        with self.store.reading() as session:
            return session.get(Batch, identity)

    def add_batch(
        self, inspection: str, title: str, photos: Path, names: Iterable[tuple[str, str]]
    ) -> Batch:
        """Add photos that wait to be scored.

        Parameters
        ----------
        inspection : str
            Which scores them.
        title : str
            Name for people.
        photos : pathlib.Path
            Folder of the photos; it is moved into the store.
        names : iterable of (str, str)
            Name of each file in it, and the name that it came with.
        """
        batch = Batch(
            identity=uuid4().hex[:12], inspection=inspection, title=title[:80] or "New photos",
            state="waiting", created=time.time(),
        )  # fmt: skip
        folder = self.batch_folder(batch)
        folder.mkdir(parents=True)
        shutil.move(photos, folder / "photos")
        with self.store.writing() as session:
            session.add(batch)
            session.flush()
            rows = [{"batch": batch.identity, "file": a, "name": b} for a, b in names]
            for start in range(0, len(rows), _MANY):
                session.bulk_insert_mappings(
                    Photo.__mapper__, [{"done": False} | row for row in rows[start : start + _MANY]]
                )
            identity = batch.identity
        found = self.batch(identity)
        assert found is not None
        return found

    # ------------------------------------------------------------------ jobs

    def recover(self, job: Job) -> None:
        """Let what a dead process left unfinished wait again."""
        lock = self.job_lock(job)
        if self._count_in(job, "running"):
            with suppress(Timeout), lock.acquire(timeout=0):
                self.again(job)

    def again(self, job: Job) -> None:
        """Let everything that is marked as running wait again; for the process that holds the lock.

        Nobody else can be at work on it.
        """
        table = Inspection if job == "train" else Batch
        with self.store.writing() as session:
            query = update(table).where(table.state == "running").values(state="waiting")
            session.execute(query)

    def trainings(self) -> tuple[int, int]:
        """Return the numbers of running and of waiting trainings."""
        query = select(Inspection.state, func.count()).group_by(Inspection.state)
        with self.store.reading() as session:
            found = {str(state): int(count) for state, count in session.execute(query)}
        return found.get("running", 0), found.get("waiting", 0)

    def waiting(self, job: Job) -> bool:
        """Whether there is something to do."""
        return self._count_in(job, "waiting") > 0

    def _count_in(self, job: Job, state: JobState) -> int:
        table = Inspection if job == "train" else Batch
        with self.store.reading() as session:
            query = select(func.count()).select_from(table)
            return int(session.scalar(query.where(table.state == state)) or 0)

    def take(self, job: Job) -> str | None:
        """Mark the first waiting inspection or batch as running, and return its identity."""
        table = Inspection if job == "train" else Batch
        with self.store.writing() as session:
            query = select(table.identity).where(table.state == "waiting").order_by(table.created)
            identity = session.scalar(query.limit(1))
            if identity is not None:
                values = {"state": "running", "reason": None}
                session.execute(update(table).where(table.identity == identity).values(values))
        return identity

    def report(self, identity: str, progress: Mapping[str, Any]) -> None:
        """Record the progress of a training."""
        self._change(Inspection, identity, progress=dict(progress))

    def finish(self, identity: str, result: Mapping[str, Any]) -> None:
        """Record what is known of a trained inspection."""
        self._change(
            Inspection, identity,
            state="finished", result=dict(result), progress=None, finished=time.time(),
        )  # fmt: skip

    def finish_batch(self, identity: str) -> None:
        """Record that all photos of a batch are done."""
        self._change(Batch, identity, state="finished", finished=time.time())

    def fail(self, job: Job, identity: str, reason: str) -> None:
        """Record why a job could not be done."""
        table = Inspection if job == "train" else Batch
        self._change(table, identity, state="failed", reason=reason, finished=time.time())

    def _change(self, table: Any, identity: str, **values: Any) -> None:
        with self.store.writing() as session:
            session.execute(update(table).where(table.identity == identity).values(values))

    # ------------------------------------------------------------------ photos

    def to_do(self, batch: str, limit: int) -> list[Photo]:
        """Return the next photos of a batch that have no score yet."""
        with self.store.reading() as session:
            query = select(Photo).where(Photo.batch == batch, Photo.done.is_(False))
            return list(session.scalars(query.order_by(Photo.key).limit(limit)))

    def record(self, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Record the scores of photos, by their keys, at once."""
        with self.store.writing() as session:
            for key, values in rows:
                done = {"done": True, **values}
                session.execute(update(Photo).where(Photo.key == key).values(done))

    def photo(self, key: int) -> Photo | None:
        """Return a photo, or None."""
        with self.store.reading() as session:
            return session.get(Photo, key)

    def queue(
        self, batch: str, shown: Shown = "alarms", *, offset: int = 0, limit: int = 50
    ) -> list[Photo]:
        """Return photos of a batch in descending order of their scores.

        Parameters
        ----------
        batch : str
            Which.
        shown : {"alarms", "open", "reviewed", "all", "unreadable"}
            Alarms, those of them that nobody reviewed, all reviewed photos, all that have a score,
            or those that cannot be read.
        offset, limit : int
            Which part of them.
        """
        with self.store.reading() as session:
            query = _shown(select(Photo), batch, shown)
            ordered = query.order_by(Photo.score.desc(), Photo.key)
            return list(session.scalars(ordered.offset(offset).limit(limit)))

    def counts(self, batch: str) -> PhotoCounts:
        """Return all counts of the photos of a batch, by one query."""
        each = [func.count().filter(*_conditions(shown)) for shown in SHOWN]
        every = (func.count(), func.count().filter(Photo.done.is_(True)), *each)
        with self.store.reading() as session:
            row = session.execute(select(*every).where(Photo.batch == batch)).one()
        total, done, *numbers = row
        return PhotoCounts(done, total, dict(zip(SHOWN, numbers, strict=True)))

    def place(self, photo: Photo, shown: Shown) -> int | None:
        """Return the place of a photo in `queue`; None if it is not among those."""
        among = _shown(select(Photo.key), photo.batch, shown)
        with self.store.reading() as session:
            if session.scalar(among.where(Photo.key == photo.key)) is None:
                return None
            query = _shown(select(func.count()).select_from(Photo), photo.batch, shown)
            if photo.score is None:
                return int(session.scalar(query.where(Photo.key < photo.key)) or 0)
            tie = (Photo.score == photo.score) & (Photo.key < photo.key)
            return int(session.scalar(query.where((Photo.score > photo.score) | tie)) or 0)

    def every(self, batch: str) -> Iterator[Photo]:
        """Yield all photos of a batch in descending order of their scores, a part at a time."""
        start = 0
        while rows := self._part(batch, start):
            yield from rows
            start += len(rows)

    def _part(self, batch: str, start: int) -> list[Photo]:
        with self.store.reading() as session:
            query = select(Photo).where(Photo.batch == batch, Photo.done.is_(True))
            ordered = query.order_by(Photo.score.desc(), Photo.key)
            return list(session.scalars(ordered.offset(start).limit(_MANY)))

    # ------------------------------------------------------------------ reviews

    def review(self, key: int, review: Review | None) -> None:
        """Record what a person said about a photo; None takes it back.

        Raises
        ------
        DataError
            If there is no such photo or review.
        """
        if review not in (*REVIEWS, None):
            raise DataError(f"A photo is {' or '.join(REVIEWS)}, not {review!r}.")
        with self.store.writing() as session:
            photo = session.get(Photo, key)
            if photo is None:
                raise DataError(f"There is no photo {key} in this store.")
            step = ReviewStep(photo=key, before=photo.review, after=review, when=time.time())
            photo.review = review
            session.add(step)

    def undo(self, batch: str) -> int | None:
        """Take back the last review in a batch; return the key of its photo, or None."""
        with self.store.writing() as session:
            query = select(ReviewStep).join(Photo, Photo.key == ReviewStep.photo)
            query = query.where(Photo.batch == batch).order_by(ReviewStep.key.desc()).limit(1)
            step = session.scalar(query)
            if step is None:
                return None
            photo = session.get(Photo, step.photo)
            assert photo is not None
            photo.review, key = step.before, photo.key
            session.delete(step)
        return key

    def reviews(self, inspection: str) -> ReviewCounts:
        """Count the scored photos of all batches of an inspection by verdict and review."""
        return self._counts(Batch.inspection == inspection)

    def reviews_of_batch(self, batch: str) -> ReviewCounts:
        """Count the scored photos of one batch by verdict and review."""
        return self._counts(Batch.identity == batch)

    def _counts(self, which: Any) -> ReviewCounts:
        query = (
            select(Photo.alarm, Photo.review, func.count())
            .join(Batch, Batch.identity == Photo.batch)
            .where(which, Photo.alarm.is_not(None))
            .group_by(Photo.alarm, Photo.review)
        )
        with self.store.reading() as session:
            found = {(bool(row[0]), row[1]): int(row[2]) for row in session.execute(query)}
        return ReviewCounts(
            right=found.get((True, "anomalous"), 0),
            false=found.get((True, "normal"), 0),
            open=found.get((True, None), 0),
            missed=found.get((False, "anomalous"), 0),
            confirmed=found.get((False, "normal"), 0),
            passed=found.get((False, None), 0),
        )

    def reviewed(self, inspection: str, review: Review) -> list[tuple[Photo, Path]]:
        """Return the photos of an inspection with this review, and their files."""
        query = (
            select(Photo, Batch)
            .join(Batch, Batch.identity == Photo.batch)
            .where(Batch.inspection == inspection, Photo.review == review)
            .order_by(literal_column("photos.key"))
        )
        with self.store.reading() as session:
            return [
                (photo, self.batch_folder(batch) / "photos" / photo.file)
                for photo, batch in session.execute(query)
            ]

    def need(self, identity: str) -> Inspection:
        """Return an inspection.

        Raises
        ------
        DataError
            If there is none.
        """
        found = self.get(identity)
        if found is None:
            raise DataError(f"There is no inspection {identity} in this store.")
        return found


def _shown(query: Select[Any], batch: str, shown: Shown) -> Select[Any]:
    return query.where(Photo.batch == batch, *_conditions(shown))


def _conditions(shown: Shown) -> list[ColumnElement[bool]]:
    if shown == "unreadable":
        return [Photo.done.is_(True), Photo.error.is_not(None)]
    scored = [Photo.done.is_(True), Photo.score.is_not(None)]
    more: dict[Shown, list[ColumnElement[bool]]] = {
        "alarms": [Photo.alarm.is_(True)],
        "open": [Photo.alarm.is_(True), Photo.review.is_(None)],
        "reviewed": [Photo.review.is_not(None)],
    }
    return scored + more.get(shown, [])


def _checked(identity: str) -> str:
    if not IDENTITY.fullmatch(identity):
        raise DataError("This is no inspection of this store.")
    return identity
