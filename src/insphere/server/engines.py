"""A model folder or an exported file, as something that scores a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.model_folder import load_detector
from insphere.detectors.persistence.model_format import DESCRIPTION
from insphere.errors import ModelError
from insphere.runtime.description import Description
from insphere.runtime.scorer import Scorer, Scores
from insphere.scoring.pvalues import conformal_p_values
from insphere.scoring.zscores import z_scores

Samples = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Engine:
    """One version of one model.

    Parameters
    ----------
    name : str
        Name of the model.
    version : str
        The first digits of the SHA-256 of the description of the model folder.
    stamp : tuple
        What changes when the file or folder does.
    description : Description
        What the model takes and says; see `insphere.runtime.description`.
    score : callable
        From samples that fit, and whether heat maps are wanted, to scores with the threshold of the
        model.
    check : callable
        From raw samples to samples that fit; raises DataError.
    has_maps : bool
        Whether there are heat maps.
    frames : bool
        Whether rows may hold texts and gaps; `check` then takes a `Frame`.
    """

    name: str
    version: str
    stamp: tuple[Any, ...]
    description: Description
    score: Callable[[Samples, bool], Scores]
    check: Callable[[Any], Samples]
    has_maps: bool
    frames: bool = False


def stamp_of(path: Path) -> tuple[Any, ...]:
    """Return what changes when a model is replaced.

    Raises
    ------
    ModelError
        If there is no model.
    """
    file = path / DESCRIPTION if path.is_dir() else path
    try:
        found = file.stat()
    except OSError as error:
        raise ModelError(f"There is no model at {path}.") from error
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def open_engine(name: str, path: Path, threads: int) -> Engine:
    """Load a model folder, or a file that ``insphere export`` wrote.

    Raises
    ------
    ModelError
        If it is neither, or damaged.
    """
    stamp = stamp_of(path)
    if path.is_dir():
        return _of_folder(name, path, stamp)
    scorer = Scorer(path, threads=threads)
    said = scorer.description

    def score(samples: Samples, maps: bool) -> Scores:
        return scorer.run(samples, maps=maps)

    check = scorer.samples if said.kind == "tables" else scorer.checked
    frames = said.schema is not None
    if frames:
        said = replace(said, shape=[len(said.columns or ())])
    version = said.model_sha256[:12] + ("" if said.variant == "float32" else f"-{said.variant}")
    return Engine(name, version, stamp, said, score, check, "heat_map" in said.outputs, frames)


def _of_folder(name: str, path: Path, stamp: tuple[Any, ...]) -> Engine:
    detector = load_detector(path)
    if detector.modality_.key not in ("images", "tables"):
        raise ModelError(f"{path} scores {detector.modality_.plural}, which cannot be served yet.")
    said = describe_detector(detector, path)
    own_map: Any = getattr(detector, "anomaly_map", None)

    tables = said.kind == "tables"
    calibrated = detector.n_calibration_ > 0
    severity = detector.severity_scale if calibrated else None

    def score(samples: Samples, maps: bool) -> Scores:
        scores = detector._score_read(samples) if tables else detector.anomaly_score(samples)
        return Scores(
            scores=scores,
            verdicts=scores > detector.threshold_ if detector.judges else None,
            p_values=conformal_p_values(detector.calibration_scores_, scores)
            if calibrated
            else None,
            severities=None if severity is None else severity(scores),
            z_scores=z_scores(scores, detector.score_mean_, detector.score_std_),
            heat_maps=own_map(samples) if maps and own_map is not None else None,
        )

    def check(samples: Any) -> Samples:
        if not tables and samples.dtype.kind == "u":  # their shape has been checked
            detector._on_scale(samples)
            return np.asarray(samples)
        read = detector._read(samples)
        return read if tables else samples

    version = said.model_sha256[:12]
    frames = bool(getattr(detector.modality_, "columns", ()))
    return Engine(name, version, stamp, said, score, check, own_map is not None, frames)


def describe_detector(detector: OneClassDetector, path: Path) -> Description:
    """Return the description of a loaded model folder, in the form of exported models."""
    from insphere.export.describe import describe

    names = getattr(detector, "feature_names_in_", None)
    frames = bool(getattr(detector.modality_, "columns", ()))
    shape = detector.image_shape_ or detector.modality_.sample_shape
    calibrated = ["p_value", "severity"] if detector.n_calibration_ else []
    return describe(
        detector,
        path,
        shape=[len(names)] if frames and names is not None else list(shape),
        values=None,  # the detector itself brings values to its range
        outputs=["score", "verdict", *calibrated, "z_score"],
        rounding=0.0,
    )


def taken(scores: Scores, start: int, stop: int) -> Scores:
    """Return a part of some scores."""

    def part(values: Any) -> Any:
        return None if values is None else np.asarray(values)[start:stop]

    return Scores(
        scores=part(scores.scores),
        verdicts=part(scores.verdicts),
        p_values=part(scores.p_values),
        severities=part(scores.severities),
        z_scores=part(scores.z_scores),
        heat_maps=part(scores.heat_maps),
    )
