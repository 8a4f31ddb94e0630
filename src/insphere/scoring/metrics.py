"""Measures of how well scores separate normal from anomalous images, given the truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from insphere.errors import DataError


@dataclass(frozen=True)
class Evaluation:
    """Measures of one set of scores; anomalous is the positive class.

    Attributes
    ----------
    auc : float
        Area under the ROC curve: the chance that an anomalous image scores above a normal one.
    average_precision : float
        Area under the precision-recall curve, as a step function.
    fpr_at_95_tpr : float
        Share of normals flagged at the highest threshold that flags 95 % of the anomalous.
    n_normal, n_anomalous : int
        Number of images of either kind.
    threshold : float or None
        Scores strictly above it are flagged. All fields below are None without one.
    tp, fp, tn, fn : int or None
        Anomalous flagged, normal flagged, normal passed, anomalous passed.
    precision : float or None
        tp / (tp + fp); 0 if nothing is flagged.
    recall : float or None
        tp / (tp + fn).
    f1 : float or None
        2 tp / (2 tp + fp + fn).
    false_alarm_rate : float or None
        fp / (fp + tn).
    balanced_accuracy : float or None
        Mean of recall and 1 − false_alarm_rate.
    """

    auc: float
    average_precision: float
    fpr_at_95_tpr: float
    n_normal: int
    n_anomalous: int
    threshold: float | None = None
    tp: int | None = None
    fp: int | None = None
    tn: int | None = None
    fn: int | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    false_alarm_rate: float | None = None
    balanced_accuracy: float | None = None

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the fields as plain Python numbers, ready for JSON."""
        return asdict(self)


def evaluate_scores(
    truth: ArrayLike,
    scores: ArrayLike,
    threshold: float | None = None,
    flagged: ArrayLike | None = None,
) -> Evaluation:
    """Compare anomaly scores with the truth.

    Parameters
    ----------
    truth : array-like of shape (n,)
        0 (or False) is normal, 1 (or True) is anomalous.
    scores : array-like of shape (n,)
        Anomaly scores; higher is more anomalous. Infinite scores are allowed: only the order
        counts.
    threshold : float, optional
        Scores strictly above it are flagged; adds the confusion table and what follows from it.
    flagged : array-like of bool, shape (n,), optional
        What is flagged, if it is not decided by the one threshold.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        If lengths differ, the truth is not 0 and 1, only one kind is present, or a score is NaN.

    Examples
    --------
    >>> evaluate_scores([0, 0, 1, 1], [1.0, 3.0, 2.0, 4.0]).auc
    0.75
    """
    labels = np.asarray(truth)
    values = np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != values.shape:
        raise DataError(
            f"Truth and scores must be two lists of one length, but have the shapes "
            f"{labels.shape} and {values.shape}."
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError("The truth holds 0 for normal and 1 for anomalous, and nothing else.")
    if np.isnan(values).any():
        raise DataError(f"{int(np.isnan(values).sum())} of {len(values)} scores are NaN.")
    anomalous = labels.astype(bool)
    n_anomalous = int(anomalous.sum())
    n_normal = len(anomalous) - n_anomalous
    if n_normal == 0 or n_anomalous == 0:
        raise DataError(
            f"Evaluating needs both normal and anomalous images, but there are {n_normal} normal "
            f"and {n_anomalous} anomalous."
        )
    # Ranks stand in for the scores: the same order and ties, and infinities do no harm.
    ranks = np.unique(values, return_inverse=True)[1]
    fpr, tpr, _ = roc_curve(anomalous, ranks, drop_intermediate=False)
    ranking = Evaluation(
        auc=float(roc_auc_score(anomalous, ranks)),
        average_precision=float(average_precision_score(anomalous, ranks)),
        fpr_at_95_tpr=float(fpr[np.argmax(tpr >= 0.95)]),
        n_normal=n_normal,
        n_anomalous=n_anomalous,
    )
    if threshold is None:
        return ranking
    if np.isnan(threshold):
        raise DataError("The threshold is NaN.")

    flagged = values > threshold if flagged is None else np.asarray(flagged, dtype=bool)
    tp = int((flagged & anomalous).sum())
    fp = int((flagged & ~anomalous).sum())
    tn, fn = n_normal - fp, n_anomalous - tp
    recall, false_alarm_rate = tp / n_anomalous, fp / n_normal
    return replace(
        ranking,
        threshold=float(threshold),
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
        precision=tp / (tp + fp) if tp + fp else 0.0,
        recall=recall,
        f1=2 * tp / (2 * tp + fp + fn),
        false_alarm_rate=false_alarm_rate,
        balanced_accuracy=(recall + 1 - false_alarm_rate) / 2,
    )
