"""Training and evaluation of one run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.sample_set import SampleSet
from insphere.data.split import OneClassSplit
from insphere.detectors.base.estimator import OneClassDetector
from insphere.experiments.runs.labelled_data import aucs_apart, fit_to_split
from insphere.experiments.runs.spec import RunSpec
from insphere.scoring.metrics import Evaluation, evaluate_scores
from insphere.scoring.zscores import display_z_scores, z_scores
from insphere.versions import versions


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Parameters
    ----------
    spec : RunSpec
        The run.
    split : OneClassSplit
        Training and test images.
    detector : OneClassDetector
        Fitted.
    scores : ndarray, shape (n_test,)
        Anomaly score of each test image.
    evaluation : Evaluation
        Measured on the test images at the threshold of the detector, without those whose labels
        were used to tune a setting.
    fit_seconds, score_seconds : float
        Wall time.
    z_score : dict
        AUCs of the standardised scores; see `z_score_aucs`.
    label_use : dict
        What labels were used for beyond the normal class; empty if for nothing. See
        `insphere.experiments.runs.labelled_data`.
    """

    spec: RunSpec
    split: OneClassSplit
    detector: OneClassDetector
    scores: NDArray[np.float64]
    evaluation: Evaluation
    fit_seconds: float
    score_seconds: float
    z_score: dict[str, float] = field(default_factory=dict)
    label_use: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return all measurements with their origin, as JSON values."""
        history = getattr(self.detector, "history_", [])
        return {
            "run": self.spec.identity,
            **self.spec.model_dump(mode="json"),
            **self.evaluation.to_dict(),
            "z_score": self.z_score,
            **({"labels": self.label_use} if self.label_use else {}),
            "fit_seconds": round(self.fit_seconds, 3),
            "trained_seconds": round(sum(record["seconds"] for record in history), 3),
            "score_seconds": round(self.score_seconds, 3),
            "n_train": self.detector.n_train_,
            "data_fingerprint": self.detector.data_fingerprint_,
            "versions": versions(),
        }


def run(
    spec: RunSpec, data: SampleSet, *, checkpoints: Path | None = None, **extra: Any
) -> RunResult:
    """Fit the detector of a run on its normal class, and evaluate it on the test images.

    Parameters
    ----------
    spec : RunSpec
        The run.
    data : SampleSet
        The data set of the run, loaded.
    checkpoints : pathlib.Path, optional
        Folder for checkpoints, for methods that write them.
    **extra
        Further parameters (verbose, callbacks) for detectors that have them. They do not change
        the result.
    """
    split = spec.reading.split(data)
    unfitted = spec.detector(checkpoint_dir=checkpoints, **extra)
    started = time.perf_counter()
    known = spec.known_anomalies
    fit = fit_to_split(unfitted, split, seed=spec.seed, by_class=spec.by_class, known=known)
    fitted = time.perf_counter()
    scores = fit.detector.anomaly_score(split.X_test)
    scored = time.perf_counter()
    part = fit.evaluated
    label_use = fit.label_use | ({} if known is None else aucs_apart(split, known, scores))
    truth, evaluated = split.truth[part], scores[part]
    evaluation = evaluate_scores(truth, evaluated, fit.detector.threshold_)
    z_score = z_score_aucs(truth, evaluated, fit.detector.score_mean_, fit.detector.score_std_)
    seconds = (fitted - started, scored - fitted)
    return RunResult(spec, split, fit.detector, scores, evaluation, *seconds, z_score, label_use)


def z_score_aucs(
    truth: NDArray[np.int64], scores: NDArray[np.float64], mean: float, std: float
) -> dict[str, float]:
    """Measure the AUC after z-scoring, in the two usual ways.

    Parameters
    ----------
    truth : ndarray, shape (n,)
        0 is normal, 1 is anomalous.
    scores : ndarray, shape (n,)
        Anomaly scores.
    mean, std : float
        Mean and standard deviation of the scores of normal images.

    Returns
    -------
    dict
        The mean and deviation; the AUC of scores standardised with them; and, if all scores are
        finite, that of scores standardised over the test images.
    """
    aucs = {"auc": evaluate_scores(truth, z_scores(scores, mean, std)).auc}
    if np.isfinite(scores).all():
        aucs["auc_over_test_images"] = evaluate_scores(truth, display_z_scores(scores)).auc
    return {"mean": mean, "std": std, **aucs}
