"""Tables and figures of stop signs, from the rows in ``results/``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure

from insphere.data.datasets.stop_signs import (
    BUDGETS,
    MAIN_BUDGET,
    OTHERS,
    attack_class,
    damage_class,
    read_attacks,
)
from insphere.data.perturb import KINDS, STRENGTHS
from insphere.detectors.registry import method_title
from insphere.experiments.analysis.published_results import Published, published_table
from insphere.experiments.store.jsonl_rows import read_rows
from insphere.figures.auc_heatmap import HeatTable, heat_map
from insphere.figures.radii import Reached, radius_curves
from insphere.report.gallery import PlannedFigure
from tables_of_rows import markdown

HERE = Path(__file__).parent
ROWS = HERE / "results" / "stop-signs.jsonl"
FOOLED = HERE / "results" / "stop-signs-fooled.jsonl"
SWEEP = HERE.parent / "sweeps" / "stop-signs.yaml"
MAIN = attack_class(MAIN_BUDGET)
NOT_YET = "Not measured yet.\n"
FIRST = "Deep SVDD, one-class"  # whose figures by strength are drawn

Row = dict[str, Any]


def by_title(path: Path = ROWS) -> dict[str, list[Row]]:
    """Return rows by the title of their method, in the order of the sweep file."""
    methods = yaml.safe_load(SWEEP.read_text(encoding="utf-8"))["methods"]
    found = {}
    for part in methods:
        part = {"method": part} if isinstance(part, str) else part
        wanted = (part["method"], part.get("params", {}))
        rows = [row for row in read_rows(path) if (row["method"], row["params"]) == wanted]
        if rows:
            found[part.get("name", method_title(part["method"]))] = rows
    return found


def published(row: Row) -> Published | None:
    """Return the published result of the method of a row on attacked stop signs."""
    method = row["method"]
    if method == "deep-svdd":
        method = row["params"].get("objective", method)
    return published_table("gtsrb").get(method, {}).get("14 stop")


def spread(values: list[float], best: bool = False) -> str:
    """Write a mean in per cent, with its standard deviation where there are several values."""
    mean = f"{100 * np.mean(values):.1f}"
    text = mean if len(values) == 1 else f"{mean} ± {100 * np.std(values, ddof=1):.1f}"
    return f"**{text}**" if best else text


def measures(row: Row) -> dict[str, float]:
    """Return the AUCs of the first table."""
    kinds = row["kinds"]
    return {
        "20 attacked": row["first_20"][MAIN],
        f"{BUDGETS[MAIN_BUDGET]} attacked": kinds[MAIN],
        "damaged, mean": float(
            np.mean([kinds[damage_class(kind, s)] for kind in KINDS for s in STRENGTHS])
        ),
        OTHERS: kinds[OTHERS],
    }


def summary() -> str:
    """Lay out every method on attacked, damaged and other signs, with the published AUC."""
    found = by_title()
    if not found:
        return NOT_YET
    columns = list(measures(next(iter(found.values()))[0]))
    means = {
        title: {c: [measures(row)[c] for row in rows] for c in columns}
        for title, rows in found.items()
    }
    top = {c: max(round(100 * float(np.mean(m[c])), 1) for m in means.values()) for c in columns}
    lines = []
    for title, rows in found.items():
        paper = published(rows[0])
        cells = [title, "–" if paper is None else f"{paper.mean} ± {paper.std}"]
        for column in columns:
            values = means[title][column]
            cells.append(spread(values, round(100 * float(np.mean(values)), 1) == top[column]))
        lines.append([*cells, str(len(rows))])
    return markdown(["AUC, %", "paper, 20 attacked", *columns, "seeds"], lines)


def budgets() -> str:
    """Lay out the distance of attacked signs from their originals and the AUCs, by steps."""
    _, about = read_attacks()
    same = min(BUDGETS.values())
    far = [f"{about['distance_l2'][str(steps)]['median']:.0f}" for steps in BUDGETS]
    lines = [["median distance, grey levels", *far]]
    for title, rows in by_title().items():
        lines.append([
            title,
            *(spread([row[f"first_{same}"][attack_class(s)] for row in rows]) for s in BUDGETS),
        ])  # fmt: skip
    return markdown([f"the same {same} signs", *(f"{s:,} steps" for s in BUDGETS)], lines)


def kinds(strength: int) -> str:
    """Show the AUC of each method for each kind of damage at one strength."""
    found = by_title()
    if not found:
        return NOT_YET
    lines = [
        [
            title,
            *(
                spread([row["kinds"][damage_class(kind, strength)] for row in rows])
                for kind in KINDS
            ),
        ]
        for title, rows in found.items()
    ]
    return markdown([f"strength {strength}", *KINDS], lines)


def fooled() -> str:
    """Lay out the AUC and the share of missed anomalies when the detector is attacked."""
    found = by_title(FOOLED)
    if not found:
        return NOT_YET
    attacked = next(iter(found.values()))[0]["attacked"]
    lines = []
    for title, rows in found.items():
        for name, key in (("AUC", "auc"), ("missed", "passing")):
            cells = [f"{title}: {name}"]
            for norm, radii in attacked.items():
                cells += [spread([row["attacked"][norm][r][key] for row in rows]) for r in radii]
            lines.append([*cells, str(len(rows))])
    symbols = {"none": "", "linf": "L∞ ", "l2": "L2 "}
    columns = [
        "not attacked" if norm == "none" else f"{symbols[norm]}{radius}"
        for norm, radii in attacked.items()
        for radius in radii
    ]
    return markdown(["%", *columns, "seeds"], lines)


def facts() -> str:
    """Describe the classifier and the attack, from the file beside the images."""
    _, about = read_attacks()
    classifier = about["classifier"]
    right = classifier["accuracy"]
    wrong = sum(about["misclassified"].values())
    of = sum(about["attacked"].values())
    versions = about["versions"]
    return (
        f"The classifier recognises {100 * right['test stop signs']:.1f} % of the 270 test stop "
        f"signs and {100 * right['other signs kept apart']:.1f} % of the 1,000 other held-out "
        f"signs. It classifies {100 * right['other signs kept apart, called stop']:.1f} % of these "
        f"as stop signs. Of {of} attacked images, rounded to whole pixel values, {wrong} are "
        "misclassified. "
        f"Seed {about['seed']}; foolbox {versions['foolbox']}, torch {versions['torch']}.\n"
    )


# ------------------------------------------------------------------ figures


def _planned(
    name: str, title: str, caption: str, path: Path, draw: Callable[[], Figure]
) -> PlannedFigure:
    rows = read_rows(path)
    seeds = len({row["seed"] for row in rows})
    return PlannedFigure(name, title, caption, f"{len(rows)} runs, up to {seeds} seeds.", draw)


def kinds_figure() -> PlannedFigure:
    """Methods by kind of anomaly."""
    names = {attack_class(s): f"attacked, {s:,} steps" for s in BUDGETS}
    names |= {damage_class(kind, 3): f"{kind} 3" for kind in KINDS} | {OTHERS: OTHERS}
    found = by_title()
    values = np.array([
        [100 * np.mean([row["kinds"][kind] for row in rows]) for kind in names]
        for rows in found.values()
    ])  # fmt: skip
    return _planned(
        "signs-kinds",
        "AUC of each method by kind of anomaly",
        "AUC of 270 normal test stop signs against each kind of anomaly; damage at strength 3.",
        ROWS,
        partial(heat_map, _heat(list(found), list(names.values()), values)),
    )


def strengths_figure() -> PlannedFigure:
    """Kinds of damage by strength, for Deep SVDD."""
    found = by_title()
    title = FIRST if FIRST in found else next(iter(found))
    values = np.array([
        [
            100 * np.mean([row["kinds"][damage_class(kind, s)] for row in found[title]])
            for s in STRENGTHS
        ]
        for kind in KINDS
    ])  # fmt: skip
    return _planned(
        "signs-strengths",
        f"{title}: damage by strength",
        "AUC of 270 normal test stop signs against the same signs with damage, from faint (1) to "
        "severe (5).",
        ROWS,
        partial(heat_map, _heat(list(KINDS), [str(s) for s in STRENGTHS], values)),
    )


def fooled_figure() -> PlannedFigure:
    """AUC by the radius of an attack on the detector."""
    curves: dict[str, dict[str, list[Reached]]] = {"linf": {}, "l2": {}}
    for title, rows in by_title(FOOLED).items():
        for norm, of in curves.items():
            radii = {"0": "none", **dict.fromkeys(rows[0]["attacked"][norm], norm)}
            of[title] = [
                Reached(float(r), [100 * row["attacked"][key][r]["auc"] for row in rows])
                for r, key in radii.items()
            ]
    named = {
        "largest change of a value (L∞), grey levels": curves["linf"],
        "length of the change (L2), grey levels": curves["l2"],
    }
    return _planned(
        "signs-fooled",
        "Attacks on the detector",
        "AUC of 270 normal test stop signs against 100 anomalies whose pixels were changed to "
        "lower the score of the detector; mean and range over seeds. The dotted line is chance.",
        FOOLED,
        partial(radius_curves, named),
    )


def _heat(rows: list[str], columns: list[str], values: Any) -> HeatTable:
    texts = tuple(tuple(f"{value:.0f}" for value in line) for line in values)
    return HeatTable(tuple(rows), tuple(columns), values, texts)


BLOCKS: dict[str, Callable[[], str]] = {
    "signs": summary,
    "signs-budgets": budgets,
    "signs-kinds": partial(kinds, 3),
    "signs-fooled": fooled,
    "signs-facts": facts,
}
PLANNED: dict[str, Callable[[], PlannedFigure]] = {
    "signs-kinds": kinds_figure,
    "signs-strengths": strengths_figure,
    "signs-fooled": fooled_figure,
}
