"""Tables on radii by direction, densities on a representation, and the share of anomalies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from insphere.experiments.store.jsonl_rows import read_rows
from tables_of_rows import markdown

RESULTS = Path(__file__).parent / "results"
UNMEASURED = "This has not been measured yet.\n"
DATA = {"ten": "all digits normal", "nine": "all but", "one": "only"}
RADII = {
    "one": "one radius",
    "neighbors-100": "100 neighbours",
    "neighbors": "50 neighbours (`neighbors`)",
    "neighbors-20": "20 neighbours",
    "quantile": "network (`quantile`)",
}
HEADS = {
    "center": "`center`",
    "ellipsoid": "`ellipsoid`",
    "neighbors": "`neighbors`",
    "mixture-2": "`mixture` of 2",
    "mixture": "`mixture` of 5",
    "mixture-10": "`mixture` of 10",
    "flow": "`flow`",
    "adaptive": "`adaptive`",
    "adaptive-ellipsoid": "`adaptive` around `ellipsoid`",
    "combined": "`combined` (all views and pixels)",
}
ESTIMATES = {
    "knee": "knee of the sorted scores",
    "empirical-null": "beyond the bulk of the log scores",
    "two-gaussians": "upper of two Gaussians",
    "known-100": "beside 100 known normals",
    "known-300": "beside 300 known normals",
    "known-1000": "beside 1,000 known normals",
}
RECIPES = {"fast": "fast recipe", "best": "recipe `best`"}


def false_alarms() -> str:
    """Show false alarms by digit where ten digits are normal in one model, promised 5 %."""
    rows = [row for row in read_rows(RESULTS / "adaptive-radius.jsonl") if row["data"] == "ten"]
    if not rows:
        return UNMEASURED
    found = {row["head"]: row["rates"][1] for row in rows}
    digits = range(len(next(iter(found.values()))["digit"]))
    lines = [
        [RADII[head], *(f"{100 * rate:.1f}" for rate in found[head]["digit"])]
        for head in RADII
        if head in found
    ]
    return markdown(["false alarms, %, promised 5 %", *map(str, digits)], lines)


def radii() -> str:
    """Show what radii by direction gain in false alarms, and cost in AUC."""
    rows = read_rows(RESULTS / "adaptive-radius.jsonl")
    if not rows:
        return UNMEASURED
    lines = []
    for data, normal in dict.fromkeys((row["data"], row["normal"]) for row in rows):
        for head, title in RADII.items():
            own = [r for r in rows if (r["data"], r["normal"], r["head"]) == (data, normal, head)]
            if own:
                lines.append([_data(data, normal), title, *_cells(own[0])])
    header = ["normal", "radius", "all", "worst digit", "worst region", "worst region at 1 %"]
    return markdown([*header, "AUC"], lines)


def _data(data: str, normal: int | None) -> str:
    return DATA[data] + ("" if normal is None else f" {normal}")


def _cells(row: dict[str, Any]) -> list[str]:
    fine, usual = row["rates"]
    digit = "" if row["data"] == "one" else f"{100 * max(usual['digit']):.1f}"
    return [
        f"{100 * usual['all']:.2f} ± {100 * usual['all_error']:.2f}",
        digit,
        f"{100 * max(usual['region']):.1f}",
        f"{100 * max(fine['region']):.1f}",
        "" if row["auc"] is None else f"{100 * row['auc']:.1f}",
    ]


def densities() -> str:
    """Show densities beside distances in one pretrained representation."""
    rows = read_rows(RESULTS / "density-heads.jsonl")
    if not rows:
        return UNMEASURED
    lines = []
    for head, title in HEADS.items():
        values = [100 * row["auc"][head] for row in rows]
        seconds = np.mean([row["fit_seconds"].get(head, np.nan) for row in rows])
        shown = "" if np.isnan(seconds) else f"{seconds:.1f}"
        lines.append(
            [title, *(f"{value:.1f}" for value in values), f"{np.mean(values):.2f}", shown]
        )
    digits = [str(row["normal"]) for row in rows]
    return markdown(["AUC, %, MNIST digit", *digits, "mean", "seconds to fit"], lines)


def shares() -> str:
    """Estimated shares of anomalies by the true share."""
    rows = read_rows(RESULTS / "pollution-share.jsonl")
    if not rows:
        return UNMEASURED
    true = sorted({row["share"] for row in rows})
    lines, notes = [], []
    for recipe, title in RECIPES.items():
        own = [row for row in rows if row["recipe"] == recipe]
        for key, name in ESTIMATES.items():
            cells = [f"{title}: {name}"]
            for share in true:
                values = [100 * row["estimates"][key][0] for row in own if row["share"] == share]
                if len(values) > 1:
                    shown = f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"
                else:
                    shown = f"{np.mean(values):.1f}" if values else "–"
                cells.append(shown)
            lines.append(cells)
        if own:
            aucs = [
                f"{100 * np.mean([r['auc'] for r in own if r['share'] == share]):.0f}"
                for share in true
                if share and any(r["share"] == share for r in own)
            ]
            runs = len([row for row in own if row["share"] == true[0]])
            notes.append(f"{title}: {runs} runs a column, AUC {', '.join(aucs)} %")
    header = ["estimated share, %, if the true one is", *(f"{100 * s:g} %" for s in true)]
    said = f"Means (smallest to largest) over digits 3 and 8 and seeds. {'; '.join(notes)}."
    return markdown(header, lines) + f"\n{said}\n"


WAYS = {
    "none": "no anomalies",
    "images": "twenty anomalies",
    "masks": "twenty, with masks",
    "images-20": "twenty anomalies, each twenty times",
    "masks-20": "twenty, with masks, each twenty times",
}


def fcdd() -> str:
    """Show what anomalies and masks add to FCDD, on the kind that was shown and on others."""
    rows = read_rows(RESULTS / "fcdd.jsonl")
    if not rows:
        return UNMEASURED
    lines = []
    for normal in dict.fromkeys(row["normal"] for row in rows):
        own = [row for row in rows if row["normal"] == normal]
        for row in sorted(own, key=lambda one: list(WAYS).index(one["way"])):
            shown = row["kinds"][row["shown"]]
            others = [values for kind, values in row["kinds"].items() if kind != row["shown"]]
            cells = [
                f"{100 * float(np.mean([values[key] for values in group])):.1f}"
                for key in ("auc", "pixel_auc")
                for group in ([shown], others)
            ]
            lines.append([f"{normal}: {WAYS[row['way']]}", *cells])
    header = ["MNIST digit: shown", "AUC, kind shown", "AUC, four other kinds"]
    return markdown([*header, "pixel AUC, kind shown", "pixel AUC, other kinds"], lines)


BLOCKS: dict[str, Callable[[], str]] = {
    "adaptive-radius-digits": false_alarms,
    "adaptive-radius": radii,
    "density-heads": densities,
    "pollution-share": shares,
    "fcdd": fcdd,
}
