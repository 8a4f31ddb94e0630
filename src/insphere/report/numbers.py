"""The numbers of a report: quality of the ranking, the confusion table, the comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from insphere.report.report_data import ReportData


@dataclass(frozen=True)
class Confusion:
    """Confusion table: how many normal and anomalous images lie above the threshold."""

    passed: int
    false_alarms: int
    missed: int
    caught: int

    @property
    def normals(self) -> int:
        """All truly normal images."""
        return self.passed + self.false_alarms

    @property
    def anomalies(self) -> int:
        """All truly anomalous images."""
        return self.missed + self.caught

    @property
    def flagged(self) -> int:
        """All images beyond the threshold."""
        return self.false_alarms + self.caught


@dataclass(frozen=True)
class Quality:
    """Measures of the ranking: AUC and others; None where one is not defined."""

    auc: float | None
    average_precision: float | None
    fpr_at_95_tpr: float | None


@dataclass(frozen=True)
class Method:
    """One line of the comparison; `best` names the columns in which it is unbeaten."""

    name: str
    auc: float | None
    average_precision: float | None
    fpr_at_95_tpr: float | None
    seconds: float | None
    ours: bool
    best: frozenset[str]


def confusion(truth: NDArray[np.bool_], flagged: NDArray[np.bool_]) -> Confusion:
    """Count the four outcomes.

    Parameters
    ----------
    truth, flagged : ndarray of bool, shape (N,)
        Whether each image is anomalous, and whether it lies beyond the threshold.
    """
    return Confusion(
        passed=int((~truth & ~flagged).sum()),
        false_alarms=int((~truth & flagged).sum()),
        missed=int((truth & ~flagged).sum()),
        caught=int((truth & flagged).sum()),
    )


def quality(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> Quality:
    """Compute AUC, average precision, and the false-alarm rate at which 95 % are found.

    Parameters
    ----------
    scores : ndarray of float64, shape (N,)
        Anomaly scores, higher is more anomalous.
    truth : ndarray of bool, shape (N,)
        Whether each image is anomalous. With only one kind, nothing is defined.
    """
    if truth.all() or not truth.any():
        return Quality(None, None, None)
    false_alarms, caught, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    return Quality(
        auc=float(metrics.roc_auc_score(truth, scores)),
        average_precision=float(metrics.average_precision_score(truth, scores)),
        fpr_at_95_tpr=float(false_alarms[np.argmax(caught >= 0.95)]),
    )


def comparison(data: ReportData, measured: Quality | None) -> list[Method]:
    """Return the comparison with the best method first, the report's own method among them.

    Parameters
    ----------
    data : ReportData
        The report.
    measured : Quality or None
        The quality of the report's scores, for the own row if the comparison lacks it.
    """
    rows: Sequence[Mapping[str, Any]] = data.comparison
    if rows and measured is not None and all(row["name"] != data.method for row in rows):
        rows = [{"name": data.method, **vars(measured)}, *rows]
    columns = {"auc": max, "average_precision": max, "fpr_at_95_tpr": min}
    best = {}
    for column, choose in columns.items():
        values = [value for row in rows if (value := number(row.get(column))) is not None]
        if len(values) > 1:
            best[column] = choose(values)
    methods = [
        Method(
            name=str(row["name"]),
            ours=row["name"] == data.method,
            best=frozenset(c for c, value in best.items() if number(row.get(c)) == value),
            seconds=number(row.get("seconds")),
            **{column: number(row.get(column)) for column in columns},
        )
        for row in rows
    ]
    return sorted(methods, key=lambda method: math.inf if method.auc is None else -method.auc)


def number(value: Any) -> float | None:
    """Return a finite float, or None for what is missing, NaN or infinite."""
    if value is None or not math.isfinite(float(value)):
        return None
    return float(value)
