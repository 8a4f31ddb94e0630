"""The report's numbers in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from insphere.report.numbers import Confusion, Method, Quality
from insphere.report.report_data import ReportData
from insphere.scoring.severity import severity_step


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share as a percentage; never round up to 100 % nor down to 0 % what is not."""
    if share is None:
        return "–"
    text = f"{100 * share:.{digits}f}"
    step = 10.0**-digits
    if float(text) >= 100 and share < 1:
        text = f"{100 - step:.{digits}f}"
    elif float(text) == 0 and share > 0:
        text = f"<{step:.{digits}f}"
    return f"{text}\N{NO-BREAK SPACE}%"


def score(value: float) -> str:
    """Write a score with four significant digits, zeros at its end too."""
    if 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:#.4g}".removesuffix(".").replace("-", "−")


def z_score(value: float) -> str:
    """Write a z-score with its sign."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def p_value(value: float) -> str:
    """Write a p-value with two significant digits."""
    return f"{value:#.2g}".removesuffix(".")


def severity(value: float, resolution: float) -> str:
    """Write a severity with the name of its step, marked with ~ where it is extrapolated."""
    return f"{'~' if value > resolution else ''}{value:.1f} {severity_step(value)}"


def verdict(data: ReportData, measured: Quality | None, methods: Sequence[Method]) -> str:
    """Say in a sentence or two what came out."""
    n, flagged = len(data.scores), int(data.flagged.sum())
    if measured is None:
        if not flagged:
            return f"None of {data.counted} lies beyond the threshold."
        verb = "lies" if flagged == 1 else "lie"
        return f"{flagged:,} of {data.counted} {verb} beyond the threshold: look at them first."
    if measured.auc is None:
        kind = "anomalous" if data.truth is not None and data.truth.all() else "normal"
        return (
            f"All {data.counted} are {kind}, so there is no ranking to judge; {flagged:,} "
            f"({percent(flagged / n)}) lie beyond the threshold."
        )
    text = (
        f"{data.method} ranks an anomalous {data.singular} above a normal one in "
        f"{percent(measured.auc)} of all pairs."
    )
    rivals = [method for method in methods if not method.ours and method.auc is not None]
    own = next((method.auc for method in methods if method.ours), measured.auc)
    if not rivals or own is None:
        return text
    best = max(rivals, key=lambda method: method.auc or 0.0)
    gap = 100 * (own - (best.auc or 0.0))
    among = "its only rival" if len(rivals) == 1 else f"the best of {len(rivals)} rivals"
    if abs(gap) < 0.05:
        return f"{text} That equals {among}, {best.name}."
    side = "ahead of" if gap > 0 else "behind"
    points = f"{abs(gap):.1f} point" + ("" if f"{abs(gap):.1f}" == "1.0" else "s")
    return f"{text} That is {points} {side} {among}, {best.name}."


def outcome(table: Confusion, data: ReportData) -> list[str]:
    """Say what the threshold does, one sentence for normal and one for anomalous images."""
    sentences = []
    if table.normals:
        share = percent(table.false_alarms / table.normals)
        is_are, ending = ("is a", "") if table.false_alarms == 1 else ("are", "s")
        sentences.append(
            f"Of {table.normals:,} normal {data.plural}, {table.false_alarms:,} ({share}) "
            f"{is_are} false alarm{ending}; {table.passed:,} pass."
        )
    if table.anomalies:
        share = percent(table.caught / table.anomalies)
        is_are = "is" if table.caught == 1 else "are"
        sentences.append(
            f"Of {table.anomalies:,} anomalous {data.plural}, {table.caught:,} ({share}) "
            f"{is_are} caught; {table.missed:,} slip{'s' if table.missed == 1 else ''} through."
        )
    if table.flagged and table.normals and table.anomalies:
        share = percent(table.caught / table.flagged)
        what = data.a_singular.capitalize()
        sentences.append(f"{what} that is flagged here is anomalous in {share} of cases.")
    return sentences


def summary(scores: NDArray[np.float64]) -> list[tuple[str, str]]:
    """Return the five-number summary of the scores, each with its name."""
    names = ("lowest", "lower quartile", "median", "upper quartile", "highest")
    return list(zip(names, map(score, np.quantile(scores, (0, 0.25, 0.5, 0.75, 1))), strict=True))


def suspects(n: int, plural: str) -> str:
    """Say which normals are shown, and what their scores do not tell."""
    return (
        f"The {n} of the normal training {plural} that look least normal, each scored as if it "
        "were new. If one is not normal, take it out and fit again. Scores do not tell how many "
        "are wrong."
    )


def short_path(path: str) -> tuple[str, ...]:
    """Return the last two parts of a path, by which people know a sample."""
    return PurePath(path).parts[-2:]


def to_yaml(spec: Mapping[str, Any]) -> str:
    """Write settings as YAML, whatever plain, NumPy or path values they hold."""
    return yaml.dump(
        _plain(spec), Dumper=_InlineLists, sort_keys=False, allow_unicode=True, width=88
    )


class _InlineLists(yaml.SafeDumper):
    """Writes lists of plain values on one line."""


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.SequenceNode:
    inline = not any(isinstance(value, dict | list) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=inline)


_InlineLists.add_representer(list, _represent_list)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.as_posix() if isinstance(value, PurePath) else str(value)
