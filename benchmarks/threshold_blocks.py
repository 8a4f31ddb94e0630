"""Tables of what the default threshold does, for pages; see quote.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from insphere.detectors.registry import method_title
from insphere.experiments.store.jsonl_rows import read_rows

ROWS = Path(__file__).parent / "results" / "default-threshold.jsonl"
METHODS = ("deep-svdd", "dcae", "knn", "kde", "mahalanobis", "oc-svm")


def _table(title: str, cell: Callable[[list[dict[str, Any]], list[dict[str, Any]]], str]) -> str:
    rows = read_rows(ROWS)
    sizes = sorted({row["n"] for row in rows})
    lines = [f"| {title} | {' | '.join(map(str, sizes))} |", f"| --- |{' ---: |' * len(sizes)}"]
    for method in METHODS:
        cells = []
        for n in sizes:
            own = [row for row in rows if (row["method"], row["n"]) == (method, n)]
            default, training = (
                [row for row in own if row["rule"] == rule] for rule in ("default", "training")
            )
            cells.append(cell(default, training) if default and training else "")
        if not any(cells):
            continue
        lines.append(f"| {method_title(method)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _percent(rows: list[dict[str, Any]], name: str) -> str:
    values = [100 * row[name] for row in rows]
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values) / np.sqrt(len(values)):.1f}"


def false_alarms() -> str:
    """Show false alarms among new images by number of images, and those of the threshold before."""

    def cell(default: list[dict[str, Any]], training: list[dict[str, Any]]) -> str:
        return f"{_percent(default, 'false_alarm_rate')} ({_percent(training, 'false_alarm_rate')})"

    return _table("normal images", cell)


def found() -> str:
    """Show anomalies found, and the AUC beside that of training on all images."""

    def cell(default: list[dict[str, Any]], training: list[dict[str, Any]]) -> str:
        if "auc" not in default[0]:  # rows of an earlier version count false alarms alone
            return ""
        both = [100 * float(np.mean([r["auc"] for r in rows])) for rows in (default, training)]
        share = 100 * float(np.mean([row["detected"] for row in default]))
        return f"{share:.0f}; {both[0]:.1f} of {both[1]:.1f}"

    return _table("normal images", cell)


BLOCKS: dict[str, Callable[[], str]] = {
    "default-threshold": false_alarms,
    "default-threshold-found": found,
}
