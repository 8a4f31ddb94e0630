"""Trains and evaluates one run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import ImageSet
from insphere.data.split import OneClassSplit
from insphere.detectors.base.estimator import OneClassDetector
from insphere.experiments.runs.labelled_data import fit_to_split
from insphere.experiments.runs.spec import RunSpec
from insphere.scoring.metrics import Evaluation, evaluate_scores
from insphere.scoring.zscores import display_z_scores, z_scores
from insphere.versions import versions


@dataclass(frozen=True)
class RunResult:
    """What a run gave.

    Parameters
    ----------
    spec : RunSpec
        What was run.
    split : OneClassSplit
        Which images were trained on and tested.
    detector : OneClassDetector
        Fitted.
    scores : ndarray, shape (n_test,)
        Anomaly score of each test image.
    evaluation : Evaluation
        Measured on the test images at the detector's threshold; without those whose labels the
        run used to tune a setting.
    fit_seconds, score_seconds : float
        Wall time.
    z_score : dict
        The same scores standardised; see `z_score_aucs`.
    told : dict
        What labels were used for, beyond choosing the normals; see
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
    told: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return all that is measured, with where it came from, as JSON values."""
        history = getattr(self.detector, "history_", [])
        return {
            "run": self.spec.identity,
            **self.spec.model_dump(mode="json"),
            **self.evaluation.to_dict(),
            "z_score": self.z_score,
            **({"labels": self.told} if self.told else {}),
            "fit_seconds": round(self.fit_seconds, 3),
            "trained_seconds": round(sum(record["seconds"] for record in history), 3),
            "score_seconds": round(self.score_seconds, 3),
            "n_train": self.detector.n_train_,
            "data_fingerprint": self.detector.data_fingerprint_,
            "versions": versions(),
        }


def run(
    spec: RunSpec, data: ImageSet, *, checkpoints: Path | None = None, **extra: Any
) -> RunResult:
    """Fit the spec's detector on its normal class and evaluate it on the test images.

    Parameters
    ----------
    spec : RunSpec
        What to run.
    data : ImageSet
        The dataset that the spec names, loaded.
    checkpoints : pathlib.Path, optional
        Folder for checkpoints of methods that have them.
    **extra
        Further arguments for detectors that know them (verbose, callbacks), which do not change
        the result.
    """
    split = spec.reading.split(data)
    unfitted = spec.detector(checkpoint_dir=checkpoints, **extra)
    started = time.perf_counter()
    fit = fit_to_split(unfitted, split, seed=spec.seed)
    fitted = time.perf_counter()
    scores = fit.detector.anomaly_score(split.X_test)
    scored = time.perf_counter()
    part = fit.evaluated
    truth, evaluated = split.truth[part], scores[part]
    evaluation = evaluate_scores(truth, evaluated, fit.detector.threshold_)
    z_score = z_score_aucs(truth, evaluated, fit.detector.score_mean_, fit.detector.score_std_)
    seconds = (fitted - started, scored - fitted)
    return RunResult(spec, split, fit.detector, scores, evaluation, *seconds, z_score, fit.told)


def z_score_aucs(
    truth: NDArray[np.int64], scores: NDArray[np.float64], mean: float, std: float
) -> dict[str, float]:
    """Measure the AUC after z-scoring, in both of the ways in which people do it.

    Parameters
    ----------
    truth : ndarray, shape (n,)
        0 is normal, 1 is anomalous.
    scores : ndarray, shape (n,)
        Anomaly scores.
    mean, std : float
        Scale of the reference normals.

    Returns
    -------
    dict
        The scale; the AUC of scores standardised by it; and, if all scores are finite, that of
        scores standardised over the very images tested.
    """
    aucs = {"auc": evaluate_scores(truth, z_scores(scores, mean, std)).auc}
    if np.isfinite(scores).all():
        aucs["auc_over_test_images"] = evaluate_scores(truth, display_z_scores(scores)).auc
    return {"mean": mean, "std": std, **aucs}
