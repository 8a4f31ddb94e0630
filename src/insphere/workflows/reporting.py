"""The data of a report, from scored images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from insphere.data.letterbox import content_size
from insphere.detectors.base.estimator import OneClassDetector
from insphere.errors import MissingExtraError
from insphere.explain.heat import METHODS, heat_maps, heat_method, heat_scale
from insphere.modalities.exhibit import Exhibit
from insphere.report import ReportData
from insphere.report.heat_section import ReportHeat, shown_images
from insphere.report.report_data import Suspect
from insphere.versions import versions
from insphere.workflows.localisation import evaluate_pixels
from insphere.workflows.score_source import Scored, method_title

SCALE_IMAGES = 100


def report_data(
    scored: Scored,
    *,
    title: str | None = None,
    comparison: Sequence[Mapping[str, Any]] = (),
    spec: Mapping[str, Any] | None = None,
    suspects: Sequence[Suspect] = (),
) -> ReportData:
    """Collect the data of a report on scored images and their detector.

    Parameters
    ----------
    scored : Scored
        Images and scores.
    title : str, optional
        Heading; by default method and data.
    comparison : sequence of mapping
        Rows of other methods; see `ReportData`.
    spec : mapping, optional
        Settings of the training; by default the parameters of the detector.
    suspects : sequence of Suspect
        Normal training samples that do not look normal.
    """
    detector, method = scored.detector, method_title(scored.detector)
    modality = detector.modality_
    counts = {"training normals": detector.n_train_}
    if detector.n_calibration_:
        counts["calibration normals"] = detector.n_calibration_
    if scored.truth is None:
        counts[f"scored {modality.plural}"] = len(scored)
    else:
        anomalous = int(scored.truth.sum())
        counts |= {"test normals": len(scored) - anomalous, "test anomalies": anomalous}
    calibrated = scored.calibrated
    paths = None if scored.data.paths is None else [scored.name(i) for i in range(len(scored))]
    pixels = evaluate_pixels(scored)
    exhibits = _exhibits(scored)
    return ReportData(
        title=title or f"{method} on {scored.data.name}",
        dataset=f"{scored.data.name} ({scored.part})",
        normal_classes=scored.normal,
        counts=counts,
        images=scored.shown_images if exhibits is None else None,
        scores=scored.scores,
        threshold=detector.threshold_,
        threshold_rule=f"follows the rule: {detector.threshold_rule_}.",
        truth=scored.truth,
        z_scores=scored.z_scores,
        p_values=scored.p_values if calibrated else None,
        severities=scored.severities if calibrated else None,
        resolution=detector.severity_scale.resolution if calibrated else float("inf"),
        guarantee=detector.guarantee if calibrated else "",
        heat=_heat(scored) if exhibits is None else None,
        exhibits=exhibits,
        contents={} if exhibits is not None else _contents(scored),
        singular=modality.singular,
        plural=modality.plural,
        sample_size="" if exhibits is None else modality.size,
        verdicts=None if scored.groups is None else scored.flagged,
        groups=[asdict(one) | {"rate": one.rate} for one in scored.group_rates],
        group_notes=detector.group_sentences,
        suspects=suspects,
        history=getattr(detector, "history_", ()),
        findings=getattr(detector, "guard_findings_", ()),
        comparison=comparison,
        spec=spec or _settings(detector),
        versions=versions(),
        paths=paths,
        pixels={} if pixels is None else pixels.to_dict(),
        method=method,
    )


def _exhibits(scored: Scored) -> dict[int, Exhibit] | None:
    """Return what explains the samples that are shown, by row; None for images."""
    detector = scored.detector
    shown = shown_images(scored.scores, detector.threshold_, scored.truth)
    found = detector.modality_.exhibits(detector, scored.data, scored.index[shown])
    return None if found is None else dict(zip(shown.tolist(), found, strict=True))


def _contents(scored: Scored) -> dict[int, tuple[int, int]]:
    """Return the sizes of the shown photographs that lie on a canvas, by row."""
    if getattr(scored.data, "fit", "stretch") == "stretch":
        return {}
    shown = shown_images(scored.scores, scored.detector.threshold_, scored.truth)
    images = scored.data.take(scored.index[shown])
    return dict(zip(shown.tolist(), map(content_size, images), strict=True))


def _heat(scored: Scored) -> ReportHeat | None:
    """Return the heat maps of the images that are shown, and their common colour scale.

    The scale is computed from images below the threshold, so that no labels are needed. There are
    no heat maps if there are no such images, if a package that they need is missing, or if a large
    network would have to process an image once for each covered window.
    """
    detector = scored.detector
    method = heat_method(detector)
    if method == "occlusion" and detector.uses_pretrained:
        return None
    passed = np.flatnonzero(~scored.flagged)
    if not len(passed):
        return None
    passed = passed[np.unique(np.linspace(0, len(passed) - 1, SCALE_IMAGES).astype(int))]
    shown = shown_images(scored.scores, detector.threshold_, scored.truth)
    index = np.union1d(shown, passed)
    images = scored.data.take(scored.index[index])
    reference = images[np.isin(index, passed)]
    try:
        maps = heat_maps(detector, images, method, reference=reference)
    except MissingExtraError:
        return None
    scale = heat_scale(maps[np.isin(index, passed)], maps)
    selected = set(shown.tolist())
    by_position = {int(i): maps[row] for row, i in enumerate(index) if i in selected}
    return ReportHeat(by_position, scale.threshold, scale.top, scale.rate, METHODS[method])


def _settings(detector: OneClassDetector) -> dict[str, Any]:
    """Return the parameters of a detector, as plain values."""
    settings: dict[str, Any] = {"detector": type(detector).__name__}
    trained = detector.trained_on_
    if trained is not None:
        settings["trained_on"] = trained.model_dump(mode="json")
    params = {
        name: value
        for name, value in detector.get_params(deep=False).items()
        if value is not None and isinstance(value, (bool, int, float, str, list, dict))
    }
    return settings | {"params": params}
