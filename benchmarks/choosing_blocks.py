"""Tables on the choice of a method, for the docs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from insphere.workflows.choosing.judging import rank_correlation
from tables_of_rows import markdown

RESULTS = Path(__file__).parent / "results"
DEFECTS = ("blowhole", "break", "crack", "fray", "uneven", "all")


def rows() -> dict[str, list[dict[str, Any]]]:
    """Return the rows by set."""
    found: dict[str, list[dict[str, Any]]] = {}
    path = RESULTS / "choosing.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        found.setdefault(row["set"], []).append(row)
    return found


def singles(listed: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave the combinations out."""
    return [row for row in listed if row["method"] != "combination"]


def percent(value: float) -> str:
    """Write an AUC or a difference of two in percent."""
    return f"{100 * value:.1f}"


def regret() -> str:
    """Compare what was chosen on each set with what would have been best."""
    body, lost, related = [], [], []
    for name, listed in rows().items():
        chosen = next(row for row in listed if row["recommended"])
        best = max(listed, key=lambda row: row["truth"]["all"])
        one = singles(listed)
        relation = rank_correlation(
            [row["proxy_auc"] for row in one], [row["truth"]["all"] for row in one]
        )
        missed = best["truth"]["all"] - chosen["truth"]["all"]
        lost.append(missed)
        related.append(relation)
        body.append(
            [
                name,
                chosen["candidate"],
                percent(chosen["truth"]["all"]),
                best["candidate"],
                percent(best["truth"]["all"]),
                percent(missed),
                f"{relation:.2f}",
            ]
        )
    if not lost:
        return ""
    mean = ["mean", "", "", "", "", percent(float(np.mean(lost))), f"{np.nanmean(related):.2f}"]
    header = ["set", "chosen", "its AUC", "best in hindsight", "its AUC", "regret", "rank corr."]
    return markdown(header, [*body, mean])


def fixed() -> str:
    """Mean regret of always taking one method, on the sets where it was tried."""
    lost: dict[str, list[float]] = {}
    found = rows()
    for listed in found.values():
        best = max(row["truth"]["all"] for row in listed)
        for row in singles(listed):
            lost.setdefault(row["candidate"], []).append(best - row["truth"]["all"])
        chosen = next(row for row in listed if row["recommended"])
        lost.setdefault("**chosen for each set**", []).append(best - chosen["truth"]["all"])
    order = sorted(lost, key=lambda name: float(np.mean(lost[name])))
    body = [
        [name, percent(float(np.mean(lost[name]))), percent(max(lost[name])), str(len(lost[name]))]
        for name in order
    ]
    return markdown(["always", "mean regret", "greatest", "sets"], body)


def kinds() -> str:
    """How the AUC on each kind of made-up anomaly ranks the candidates, against the truth."""
    related: dict[str, list[float]] = {}
    lost: dict[str, list[float]] = {}
    for listed in rows().values():
        one = singles(listed)
        best = max(row["truth"]["all"] for row in one)
        for kind in one[0]["auc"]:
            values = [row["auc"][kind] for row in one]
            truth = [row["truth"]["all"] for row in one]
            related.setdefault(kind, []).append(rank_correlation(values, truth))
            lost.setdefault(kind, []).append(best - truth[int(np.argmax(values))])
    body = [
        [kind, f"{np.nanmean(found):.2f}", percent(float(np.mean(lost[kind])))]
        for kind, found in sorted(related.items(), key=lambda item: -float(np.nanmean(item[1])))
    ]
    return markdown(["kind", "mean rank correlation", "mean regret if it alone decided"], body)


def segmentation() -> str:
    """Show what the network from scratch finds on magnetic tiles."""
    path = RESULTS / "segmentation.jsonl"
    body = []
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        body.append(
            [
                row.get("run", "segmentation"),
                *(percent(row["image_auc"][defect]) for defect in DEFECTS),
                percent(row["pixel_auc"]),
                percent(row["pro"]),
            ]
        )
    return markdown(["method", *DEFECTS, "pixel AUC", "PRO"], body)


BLOCKS: dict[str, Callable[[], str]] = {
    "choosing-regret": regret,
    "choosing-fixed": fixed,
    "choosing-kinds": kinds,
    "segmentation-tiles": segmentation,
}
