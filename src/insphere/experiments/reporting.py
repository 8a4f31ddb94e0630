"""From scores to what a report says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from insphere.detectors.base import OneClassDetector
from insphere.experiments.localisation import evaluate_pixels, shown_maps
from insphere.experiments.run import versions
from insphere.experiments.scored import Scored, method_title
from insphere.report import ReportData


def report_data(
    scored: Scored,
    *,
    title: str | None = None,
    comparison: Sequence[Mapping[str, Any]] = (),
    spec: Mapping[str, Any] | None = None,
) -> ReportData:
    """Collect what a report says about scored images and the detector that scored them.

    Parameters
    ----------
    scored : Scored
        Images and scores.
    title : str, optional
        Heading; by default method and data.
    comparison : sequence of mapping
        Rows of other methods; see `ReportData`.
    spec : mapping, optional
        Settings that made the model; by default the detector's parameters.
    """
    detector, method = scored.detector, method_title(scored.detector)
    counts = {"training normals": detector.n_train_}
    if detector.n_calibration_:
        counts["calibration normals"] = detector.n_calibration_
    if scored.truth is None:
        counts["scored images"] = len(scored)
    else:
        anomalous = int(scored.truth.sum())
        counts |= {"test normals": len(scored) - anomalous, "test anomalies": anomalous}
    paths = None if scored.data.paths is None else [scored.name(i) for i in range(len(scored))]
    maps, limits = shown_maps(scored)
    pixels = evaluate_pixels(scored)
    return ReportData(
        title=title or f"{method} on {scored.data.name}",
        dataset=f"{scored.data.name} ({scored.part})",
        normal_classes=scored.normal,
        counts=counts,
        images=scored.images,
        scores=scored.scores,
        threshold=detector.threshold_,
        threshold_rule=f"follows the rule: {detector.threshold_rule_}.",
        truth=scored.truth,
        z_scores=scored.z_scores,
        history=getattr(detector, "history_", ()),
        findings=getattr(detector, "guard_findings_", ()),
        comparison=comparison,
        spec=spec or _settings(detector),
        versions=versions(),
        paths=paths,
        maps=maps,
        map_limits=limits,
        pixels={} if pixels is None else pixels.to_dict(),
        method=method,
    )


def _settings(detector: OneClassDetector) -> dict[str, Any]:
    """Return what made a detector, as plain values."""
    settings: dict[str, Any] = {"detector": type(detector).__name__}
    trained = getattr(detector, "trained_on_", None)
    if trained is not None:
        settings["trained_on"] = trained.model_dump(mode="json")
    params = {
        name: value
        for name, value in detector.get_params(deep=False).items()
        if value is not None and isinstance(value, (bool, int, float, str, list, dict))
    }
    return settings | {"params": params}
