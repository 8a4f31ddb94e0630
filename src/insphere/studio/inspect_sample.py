"""Inspection of one sample that is no image: its score in all units, and what explains it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path

import numpy as np

from insphere.data.split import OneClassSplit
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.model_folder import load_detector
from insphere.experiments.runs.spec import RunSpec
from insphere.modalities.examples import load_named
from insphere.modalities.exhibit import Exhibit
from insphere.report.words import severity as severity_in_words
from insphere.studio import exhibit_view, formatting
from insphere.studio.frame import html


@dataclass(frozen=True)
class SampleInspection:
    """The results of a detector for one sample of the test part.

    Parameters
    ----------
    name, truth : str
        What it is called, and its class.
    score, threshold, z_score : float
        As in `insphere.studio.inspect_image.ImageInspection`.
    p_value : float or None
        Share of normal samples that score at least as high; None without calibration samples.
    severity : str or None
        How rare such a score is among normal samples.
    exhibit : Exhibit
        What explains it.
    """

    name: str
    truth: str
    score: float
    threshold: float
    z_score: float
    p_value: float | None
    severity: str | None
    exhibit: Exhibit


def inspect_sample(model: Path, spec: RunSpec, place: int) -> SampleInspection:
    """Inspect a sample of the test part with a saved model; called in a helper process.

    Parameters
    ----------
    model : pathlib.Path
        Folder of the model.
    spec : RunSpec
        The run that trained it.
    place : int
        Place of the sample in the test part.

    Raises
    ------
    InsphereError
        If the model or the data cannot be read.
    """
    detector, split = _prepared(str(model), spec.model_dump_json())
    index = split.test[[place]]
    sample = split.data.take(index)
    calibrated = detector.n_calibration_ > 0
    kind = detector.modality_
    exhibits = kind.exhibits(detector, split.data, index) or [Exhibit()]
    severity = None
    if calibrated:
        scale = detector.severity_scale
        severity = severity_in_words(float(detector.severity(sample)[0]), scale.resolution)
    return SampleInspection(
        name=kind.called(split.data, index)[0],
        truth=split.data.class_names[int(split.data.labels[index[0]])],
        score=float(detector.anomaly_score(sample)[0]),
        threshold=float(detector.threshold_),
        z_score=float(detector.z_score(sample)[0]),
        p_value=float(detector.p_value(sample)[0]) if calibrated else None,
        severity=severity,
        exhibit=exhibits[0],
    )


@lru_cache(maxsize=4)
def _prepared(folder: str, spec: str) -> tuple[OneClassDetector, OneClassSplit]:
    run = RunSpec.model_validate_json(spec)
    return load_detector(folder), run.reading.split(load_named(run.dataset))


def show(found: SampleInspection, place: int) -> None:
    """Show an inspection."""
    anomalous = found.score > found.threshold
    verdict, sign = ("Anomalous", "✕") if anomalous else ("Normal", "○")
    css = "anomalous" if anomalous else "fine"
    ratio = found.score / found.threshold if found.threshold > 0 else float("nan")
    reach = f"{ratio:.2g} times the threshold · " if np.isfinite(ratio) else ""
    facts = formatting.score_facts(
        found.score, found.threshold, found.z_score, found.severity, found.p_value
    )
    title = found.exhibit.title or found.name
    html(
        f'<div class="stack"><h3 data-test="sample">{escape(title)}</h3>'
        f'<div class="verdict {css}" data-test="verdict">{sign} {verdict}<small>{reach}truly '
        f"{escape(found.truth)}</small></div>"
        f"{facts}"
        f"{exhibit_view.as_html(found.exhibit, f'sample{place}')}</div>"
    )
