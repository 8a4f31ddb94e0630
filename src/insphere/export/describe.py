"""What a fitted detector says of itself, in the form that exported models carry."""

from __future__ import annotations

from dataclasses import asdict
from os import PathLike
from typing import Any

from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.method_table import method_of_class
from insphere.detectors.persistence.model_format import check_model_path, read_description
from insphere.export.exported import raw_type
from insphere.runtime.description import FORMAT, Description


def describe(detector: OneClassDetector, model: str | PathLike[str], **more: Any) -> Description:
    """Return the description of a model folder.

    Parameters
    ----------
    detector : OneClassDetector
        Loaded from the folder.
    model : path
        The folder.
    **more
        Fields of `Description` that depend on what scores the samples, such as ``outputs`` and
        ``rounding``; they come before those of the folder.
    """
    saved = read_description(check_model_path(model))
    trained = detector.trained_on_
    names = getattr(detector, "feature_names_in_", None)
    schema = [asdict(column) for column in getattr(detector.modality_, "columns", ())] or None
    found: dict[str, Any] = {
        "detector": saved.detector,
        "method": method_of_class(saved.detector) or "",
        "title": detector.card.title,
        "kind": "images" if detector.image_shape_ is not None else "tables",
        "shape": list(detector.image_shape_ or detector.modality_.sample_shape),
        "dtype": raw_type(detector),
        "columns": None if names is None else [str(name) for name in names],
        "values": None
        if detector.value_range_ is None
        else saved.fitted.model_dump()["value_range_"],
        "reading": None if trained is None else trained.model_dump(),
        "threshold": float(detector.threshold_) if detector.judges else None,
        "threshold_rule": detector.threshold_rule_,
        "guarantee": detector.guarantee,
        "false_alarm_rate": getattr(detector, "false_alarm_rate_", None),
        "n_train": detector.n_train_,
        "score_mean": detector.score_mean_,
        "score_std": detector.score_std_,
        "calibration_scores": detector.calibration_scores_.tolist(),
        "model_sha256": saved.sha256,
        "group_thresholds": detector.group_thresholds,
        "schema": schema,
        "fills_canvas": detector.fills_canvas,
        "format": FORMAT if schema or detector.fills_canvas else 1,
        "versions": saved.versions,
    }
    return Description(**(found | more))
