"""What `quote.py` says about series, from the rows in ``results/``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from insphere.experiments.store.jsonl_rows import read_rows
from insphere.scoring.nab import nab_score

ALL_POINTS = " (all points)"
"""Ends the name of an electrocardiogram that is taken in full."""

ROWS = Path(__file__).parent / "results" / "series.jsonl"
ENCODERS = Path(__file__).parent / "results" / "series_encoders.jsonl"
TITLES = {
    "series-svdd": "Deep SVDD for series",
    "sub-knn": "kNN on windows",
    "sub-pca": "Sub-PCA",
    "moving median": "distance from the moving median",
    "random": "random score",
}


def series() -> str:
    """Set the mean measures of all methods on NAB and on the electrocardiograms side by side."""
    rows = read_rows(ROWS)
    nab = [row for row in rows if row["series"].endswith(".csv")]
    parts = {"NAB": nab}
    for head, end in (("ECG, first 60,000 points", ".npz"), ("ECG, all points", ALL_POINTS)):
        if own := [row for row in rows if row["series"].endswith(end)]:
            parts[head] = own
    heads = []
    for head, own in parts.items():
        heads += [f"{head} ({len({row['series'] for row in own})}): VUS-PR, %", "AUC-PR, %"]
    lines = [
        f"| method | counted at the | {' | '.join(heads)} |",
        "| --- | --- |" + " ---: |" * len(heads),
    ]
    for method, title in TITLES.items():
        for place in ("end", "middle"):
            cells = []
            for part in parts.values():
                own = [r for r in part if r["method"] == method and r["place"] == place]
                for measure in ("vus_pr", "auc_pr"):
                    cells.append(f"{100 * np.mean([r[measure] for r in own]):.1f}" if own else "")
            if any(cells):
                lines.append(f"| {title} | {place} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def series_nab() -> str:
    """Set NAB's own scores of all methods side by side, each at its best share of alarms."""
    rows = [row for row in read_rows(ROWS) if "nab" in row and row["place"] == "end"]
    profiles = list(rows[0]["nab"])
    lines = [
        f"| method | {' | '.join(profiles)} |",
        "| --- |" + " ---: |" * len(profiles),
    ]
    for method, title in TITLES.items():
        own = [row for row in rows if row["method"] == method]
        if not own:
            continue
        cells = []
        for profile in profiles:
            nothing, perfect, *raw = np.sum([row["nab"][profile] for row in own], axis=0)
            cells.append(f"{nab_score(max(*raw, nothing), nothing, perfect):.1f}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def series_encoders() -> str:
    """Set the mean measures of the encoders side by side, on the series that all of them have."""
    rows = read_rows(ENCODERS)
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    has = {e: {row["series"] for row in rows if row["encoder"] == e} for e in encoders}
    shared = set.intersection(*has.values())
    lines = [
        f"| encoder | VUS-PR, % ({len(shared)} series) | AUC-PR, % | median s |",
        "| --- | ---: | ---: | ---: |",
    ]
    for encoder in encoders:
        own = [row for row in rows if row["encoder"] == encoder and row["series"] in shared]
        means = [f"{100 * np.mean([row[m] for row in own]):.1f}" for m in ("vus_pr", "auc_pr")]
        seconds = np.median([row["seconds"] for row in own])
        lines.append(f"| {encoder} | {' | '.join(means)} | {seconds:.1f} |")
    return "\n".join(lines) + "\n"


BLOCKS: dict[str, Callable[[], str]] = {
    "series": series,
    "series-nab": series_nab,
    "series-encoders": series_encoders,
}
