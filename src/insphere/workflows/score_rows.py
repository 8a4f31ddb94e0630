"""Scored images as rows and as a summary of plain values: for JSON, tables and servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.scoring.severity import severity_step
from insphere.workflows.score_source import Scored

Flags = NDArray[np.bool_]


def summary(scored: Scored, model: str) -> dict[str, Any]:
    """Return the images, the threshold and the number of anomalies, for JSON."""
    share = scored.anomalous_share
    return {
        "model": model,
        "dataset": scored.data.name,
        "part": scored.part,
        "normal": list(scored.normal),
        "n": len(scored),
        "n_anomalous": int(scored.flagged.sum()) if scored.judged else None,
        "n_skipped": len(scored.data.skipped),
        "skipped": list(scored.data.skipped),
        "anomalous_share": None if share is None else asdict(share),
        "threshold": scored.detector.threshold_ if scored.judged else None,
        "threshold_rule": scored.detector.threshold_rule_,
        "guarantee": scored.detector.guarantee,
        "n_outside_range": scored.n_outside_range,
        "found": scored.contents.to_dict(),
        **({} if scored.groups is None else {"groups": _groups(scored)}),
    }


def columns(scored: Scored, alarms: Flags | None = None) -> list[str]:
    """Return the names of the columns."""
    place = "index" if scored.data.paths is None else "path"
    names = [place, "score", "z_score", *(("verdict",) if scored.judged else ())]
    if scored.calibrated:
        names += ["p_value", "severity", "step"]
    if alarms is not None:
        names.append("alarm")
    if scored.groups is not None:
        names.append("group")
    if scored.has_classes:
        names.append("class")
    if scored.truth is not None:
        names.append("truth")
    return names


def rows(
    scored: Scored, index: Iterable[int] | None = None, alarms: Flags | None = None
) -> Iterator[dict[str, Any]]:
    """Yield one row for each scored image, or for those at `index`."""
    names = columns(scored, alarms)
    z_scores, flagged = scored.z_scores, scored.flagged if scored.judged else None
    p_values = scored.p_values if scored.calibrated else None
    severities = scored.severities if scored.calibrated else None
    for row in range(len(scored)) if index is None else index:
        position = int(scored.index[row])
        values: list[Any] = [
            position if scored.data.paths is None else scored.data.paths[position],
            float(scored.scores[row]),
            float(z_scores[row]),
        ]
        if flagged is not None:
            values.append(_kind(flagged[row]))
        if p_values is not None and severities is not None:
            severity = float(severities[row])
            values += [float(p_values[row]), severity, severity_step(severity)]
        if alarms is not None:
            values.append(bool(alarms[row]))
        if scored.groups is not None:
            values.append(str(scored.groups[row]))
        if scored.has_classes:
            values.append(scored.label(row))
        if scored.truth is not None:
            values.append(_kind(scored.truth[row]))
        yield dict(zip(names, values, strict=True))


def _groups(scored: Scored) -> list[dict[str, Any]]:
    """Return the rate of each group, and the threshold that it is judged by."""
    own, known = scored.detector.group_thresholds, scored.detector.threshold_
    return [
        asdict(one) | {"rate": one.rate, "threshold": own.get(one.name, known)}
        for one in scored.group_rates
    ]


def _kind(anomalous: Any) -> str:
    return "anomalous" if anomalous else "normal"
