"""What `quote.py` writes about photographs of parts, from the rows in ``results/``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from insphere.experiments.store.jsonl_rows import read_rows
from tables_of_rows import markdown

RESULTS = Path(__file__).parent / "results"
DEFECTS = ("break", "fray", "blowhole", "uneven", "crack")
NOT_YET = "Not measured yet.\n"


def tiles(split: str) -> str:
    """Show every detector on the magnetic tiles, with one split."""
    rows = [row for row in read_rows(RESULTS / "inspection.jsonl") if row["split"] == split]
    if not rows:
        return NOT_YET
    lines = [
        [
            row["run"],
            f"{100 * row['auc']:.1f}",
            *(f"{100 * row['defects'][name]:.0f}" for name in DEFECTS),
            *(f"{100 * row[name]:.1f}" if name in row else "–" for name in ("pixel_auc", "pro")),
        ]
        for row in rows
    ]
    return markdown(["%", "image AUC", *DEFECTS, "pixel AUC", "PRO"], lines)


def embeddings() -> str:
    """Show the mean AUC of every head over the categories of MVTec, and where it is the best."""
    rows = read_rows(RESULTS / "embeddings.jsonl")
    if not rows:
        return NOT_YET
    heads = list(rows[0]["auc"])
    lines = [
        [head, f"{100 * float(np.mean([row['auc'][head] for row in rows])):.2f}"] for head in heads
    ]
    count = len({row["category"] for row in rows})
    return markdown([f"{count} categories, {len(rows)} runs", "mean AUC, %"], lines)


def coreset() -> str:
    """Show what selecting a coreset takes, and how far patches lie from it."""
    rows = sorted(read_rows(RESULTS / "coreset.jsonl"), key=lambda row: row["patches"])
    if not rows:
        return NOT_YET
    header = ["patches", "selected from", "CPU s", "mean distance", "99 %", "greatest"]
    lines = []
    for row in rows:
        for how, named in (("drawn", "50,000 drawn at random"), ("all", "all")):
            if how in row:
                one = row[how]
                far = (f"{one[name]:.1f}" for name in ("mean", "q99", "max"))
                lines.append([f"{row['patches']:,}", named, f"{one['cpu_seconds']:.1f}", *far])
    return markdown(header, lines)


BLOCKS: dict[str, Callable[[], str]] = {
    "tiles-by-tile": partial(tiles, "by tile"),
    "tiles-random": partial(tiles, "random"),
    "embeddings": embeddings,
    "coreset": coreset,
}
