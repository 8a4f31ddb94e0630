"""Trains and evaluates one run."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import ImageSet
from insphere.data.split import OneClassSplit
from insphere.detectors.base import OneClassDetector
from insphere.experiments.labels import fit_to_split
from insphere.experiments.spec import RunSpec
from insphere.scoring.metrics import Evaluation, evaluate_scores

_PACKAGES = ("insphere", "torch", "numpy", "scikit-learn")


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
    told : dict
        What labels were used for, beyond choosing the normals; see `insphere.experiments.labels`.
    """

    spec: RunSpec
    split: OneClassSplit
    detector: OneClassDetector
    scores: NDArray[np.float64]
    evaluation: Evaluation
    fit_seconds: float
    score_seconds: float
    told: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return all that is measured, with where it came from, as JSON values."""
        history = getattr(self.detector, "history_", [])
        return {
            "run": self.spec.identity,
            **self.spec.model_dump(mode="json"),
            **self.evaluation.to_dict(),
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
    split = OneClassSplit(data, list(spec.normal), random_state=spec.seed)
    unfitted = spec.detector(checkpoint_dir=checkpoints, **extra)
    started = time.perf_counter()
    fit = fit_to_split(unfitted, split, seed=spec.seed)
    fitted = time.perf_counter()
    scores = fit.detector.anomaly_score(split.X_test)
    scored = time.perf_counter()
    part = fit.evaluated
    evaluation = evaluate_scores(split.truth[part], scores[part], fit.detector.threshold_)
    seconds = (fitted - started, scored - fitted)
    return RunResult(spec, split, fit.detector, scores, evaluation, *seconds, fit.told)


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    found = {name: metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **found}
