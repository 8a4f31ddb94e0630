"""Tables of the queue, in the same file as the runs."""

from __future__ import annotations

from typing import Any

from insphere.errors import require
from insphere.experiments.store.run_record import Base

require("sqlalchemy", "experiments", "The store of runs")

from sqlalchemy import JSON  # noqa: E402
from sqlalchemy.orm import Mapped, mapped_column  # noqa: E402


class Ticket(Base):
    """A run that was added to the queue.

    Attributes
    ----------
    identity : str
        `RunSpec.identity`.
    asked : float
        Time at which it was added, in seconds since 1970, UTC.
    sweep : str or None
        Key of its sweep; None for a single run. Single runs come first.
    """

    __tablename__ = "tickets"

    identity: Mapped[str] = mapped_column(primary_key=True)
    asked: Mapped[float]
    sweep: Mapped[str | None]


class PlannedSweep(Base):
    """A sweep that was added to the queue.

    Attributes
    ----------
    key : str
        Twelve hexadecimal digits.
    name : str
        Name for display.
    content : dict
        Content of the sweep file.
    created : float
        Time at which it was added, in seconds since 1970, UTC.
    """

    __tablename__ = "sweeps"

    key: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    created: Mapped[float]
