"""Tables of the detectors of photos, of the photos that they scored, and of people's reviews."""

from __future__ import annotations

from typing import Any, Literal

from insphere.errors import require
from insphere.experiments.store.run_record import Base

require("sqlalchemy", "experiments", "The store of runs")

from sqlalchemy import JSON, ForeignKey, Index, Text  # noqa: E402
from sqlalchemy.orm import Mapped, mapped_column  # noqa: E402

JobState = Literal["waiting", "running", "finished", "failed"]
Review = Literal["anomalous", "normal"]
REVIEWS: tuple[Review, ...] = ("anomalous", "normal")


class Inspection(Base):
    """A detector that is made from photos of good parts.

    Attributes
    ----------
    identity : str
        Twelve hexadecimal digits.
    title : str
        Name that a person gave.
    settings : dict
        See `insphere.workflows.inspecting.InspectionPlan`.
    parent : str or None
        The inspection that was trained again with reviewed photos, if there is one.
    state : str
        waiting, running, finished or failed.
    reason : str or None
        Reason of a failure, as a sentence.
    progress : dict or None
        Step, and the seconds that it will probably take, of a running one.
    result : dict or None
        What is known of a finished one; see `insphere.workflows.inspecting.InspectionResult`.
    created, finished : float
        Seconds since 1970, UTC.
    """

    __tablename__ = "inspections"

    identity: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    settings: Mapped[dict[str, Any]]
    parent: Mapped[str | None]
    state: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created: Mapped[float]
    finished: Mapped[float | None]


class Batch(Base):
    """Photos that are scored together.

    Attributes
    ----------
    identity : str
        Twelve hexadecimal digits.
    inspection : str
        Identity of the `Inspection` that scores them.
    title, state, reason, created, finished
        As of an `Inspection`.
    """

    __tablename__ = "photo_batches"

    identity: Mapped[str] = mapped_column(primary_key=True)
    inspection: Mapped[str] = mapped_column(ForeignKey("inspections.identity"), index=True)
    title: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    created: Mapped[float]
    finished: Mapped[float | None]


class Photo(Base):
    """A photo of a batch, with its score and its review.

    Attributes
    ----------
    key : int
        Number of the row.
    batch : str
        Identity of the `Batch`.
    file : str
        Name of the file in the folder of the batch.
    name : str
        Name that it came with, perhaps with folders.
    done : bool
        Whether it was scored, or found to be unreadable.
    score, severity, p_value, z_score : float or None
        See the detectors; None for a photo that cannot be read.
    alarm : bool or None
        Whether the score is beyond the threshold.
    error : str or None
        Why it has no score.
    kind : str or None
        Of a detector of several kinds of parts, the one whose sphere is nearest.
    review : str or None
        What a person said it is: anomalous or normal.
    """

    __tablename__ = "photos"
    __table_args__ = (
        Index("photos_in_order", "batch", "score"),
        Index("photos_to_do", "batch", "done", "key"),
    )

    key: Mapped[int] = mapped_column(primary_key=True)
    batch: Mapped[str] = mapped_column(ForeignKey("photo_batches.identity"))
    file: Mapped[str]
    name: Mapped[str]
    done: Mapped[bool] = mapped_column(default=False)
    score: Mapped[float | None]
    severity: Mapped[float | None]
    p_value: Mapped[float | None]
    z_score: Mapped[float | None]
    alarm: Mapped[bool | None]
    error: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str | None]
    review: Mapped[str | None]


class ReviewStep(Base):
    """One decision of a person about a photo, so that it can be undone.

    Attributes
    ----------
    key : int
        Number of the step.
    photo : int
        Key of the `Photo`.
    before, after : str or None
        The review before and after it.
    when : float
        Seconds since 1970, UTC.
    """

    __tablename__ = "photo_reviews"

    key: Mapped[int] = mapped_column(primary_key=True)
    photo: Mapped[int] = mapped_column(ForeignKey("photos.key"), index=True)
    before: Mapped[str | None]
    after: Mapped[str | None]
    when: Mapped[float]


TABLES = (Inspection.__table__, Batch.__table__, Photo.__table__, ReviewStep.__table__)
