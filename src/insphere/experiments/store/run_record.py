"""The record of one run: a row of the table ``runs``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from insphere.errors import DataError, require
from insphere.experiments.runs.spec import RunSpec

require("sqlalchemy", "experiments", "The store of runs")

from sqlalchemy import JSON, CheckConstraint, Text  # noqa: E402
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column  # noqa: E402

State = Literal["queued", "running", "interrupted", "finished", "failed"]
STATES: tuple[State, ...] = ("queued", "running", "interrupted", "finished", "failed")

_SPEC = ("dataset", "normal", "method", "params", "seed")
# Columns that a finished run's row has, in its order.
MEASURED = (
    *("auc", "average_precision", "fpr_at_95_tpr", "n_normal", "n_anomalous", "threshold"),
    *("tp", "fp", "tn", "fn", "precision", "recall", "f1", "false_alarm_rate"),
    *("balanced_accuracy", "fit_seconds", "trained_seconds", "score_seconds", "n_train"),
    *("data_fingerprint", "versions"),
)


class Base(DeclarativeBase):
    """Base class of the tables of a store."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012


class Run(Base):
    """The record of a run, from the queue to its result.

    Attributes
    ----------
    identity : str
        `RunSpec.identity`.
    dataset, normal, method, params, seed
        The spec.
    state : str
        queued, running, interrupted (its worker was stopped or killed; it can be continued),
        finished or failed.
    reason : str or None
        Reason of a failure or an interruption, as a sentence.
    details : str or None
        Traceback of a failure that was not a mistake of the user.
    attempts : int
        Number of starts.
    worker : str or None
        The last worker: process number and a random part.
    heartbeat : float or None
        Last sign of life of the worker.
    stop_requested : bool
        Whether the worker is asked to stop.
    progress : dict or None
        Phase, epoch, number of epochs and loss of a running training.
    created, started, finished : float or None
        Seconds since 1970, UTC.
    auc, average_precision, fpr_at_95_tpr, ...
        Measurements as in `RunResult.row`; see `MEASURED`.
    extra : dict or None
        Further values of an imported row.
    """

    __tablename__ = "runs"
    __table_args__ = (CheckConstraint(f"state IN {STATES}", name="known_state"),)

    identity: Mapped[str] = mapped_column(primary_key=True)
    dataset: Mapped[str]
    normal: Mapped[list[str]]
    method: Mapped[str]
    params: Mapped[dict[str, Any]]
    seed: Mapped[int]

    state: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    details: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None]
    heartbeat: Mapped[float | None]
    stop_requested: Mapped[bool] = mapped_column(default=False)
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created: Mapped[float]
    started: Mapped[float | None]
    finished: Mapped[float | None]

    auc: Mapped[float | None]
    average_precision: Mapped[float | None]
    fpr_at_95_tpr: Mapped[float | None]
    n_normal: Mapped[int | None]
    n_anomalous: Mapped[int | None]
    threshold: Mapped[float | None]
    tp: Mapped[int | None]
    fp: Mapped[int | None]
    tn: Mapped[int | None]
    fn: Mapped[int | None]
    precision: Mapped[float | None]
    recall: Mapped[float | None]
    f1: Mapped[float | None]
    false_alarm_rate: Mapped[float | None]
    balanced_accuracy: Mapped[float | None]
    fit_seconds: Mapped[float | None]
    trained_seconds: Mapped[float | None]
    score_seconds: Mapped[float | None]
    n_train: Mapped[int | None]
    data_fingerprint: Mapped[str | None]
    versions: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    extra: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    @property
    def spec(self) -> RunSpec:
        """The spec of the run."""
        return RunSpec.model_validate({name: getattr(self, name) for name in _SPEC})

    @property
    def seconds(self) -> float | None:
        """Wall time of fitting and scoring; None unless finished."""
        if self.fit_seconds is None:
            return None
        return self.fit_seconds + (self.score_seconds or 0.0)

    def row(self) -> dict[str, Any]:
        """Return the finished run in the form of `RunResult.row`."""
        row = {"run": self.identity} | {name: getattr(self, name) for name in _SPEC}
        measured = {name: getattr(self, name) for name in MEASURED}
        row |= {name: value for name, value in measured.items() if value is not None}
        return row | (self.extra or {})


def spec_values(spec: RunSpec) -> dict[str, Any]:
    """Return the columns with the spec of a run."""
    return {"identity": spec.identity, **spec.model_dump(mode="json")}


def result_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns with the result of a finished run.

    Parameters
    ----------
    row : mapping
        From `RunResult.row`, or a line of a file of rows.
    """
    known = {"run", *_SPEC, *MEASURED}
    values: dict[str, Any] = {name: row.get(name) for name in MEASURED}
    values["extra"] = {name: value for name, value in row.items() if name not in known} or None
    return values


def spec_of_row(row: Mapping[str, Any]) -> RunSpec:
    """Return the spec of a row.

    Raises
    ------
    DataError
        If the row is not a finished run, or its identity does not match its settings.
    """
    missing = [name for name in ("run", *_SPEC, "auc") if name not in row]
    if missing:
        raise DataError(f"A row without {', '.join(missing)} is no finished run.")
    try:
        spec = RunSpec.model_validate({name: row[name] for name in _SPEC})
    except ValueError as error:
        raise DataError(f"The row {row['run']} does not say what was run.") from error
    if spec.identity != row["run"]:
        raise DataError(
            f"The row {row['run']} was changed: its settings have the identity {spec.identity}."
        )
    return spec
