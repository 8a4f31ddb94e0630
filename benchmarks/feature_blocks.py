"""What `quote.py` writes about detectors on features, from the rows in ``results/``."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import numpy as np

from features import (
    CHOSEN_ON,
    HEADS,
    RESULTS,
    by_head,
    chosen_head,
    complete_means,
    results_of,
    title_of,
)
from insphere.experiments.rows import read_rows

DATASETS = ("cifar10", "fashion-mnist", "mnist")
NOT_YET = "Not measured yet.\n"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Lay out a Markdown table whose first column is text and whose others are numbers."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows]) + "\n"


def summary() -> str:
    """Show the mean AUC of every head on every dataset, where all ten classes are there."""
    means = {dataset: complete_means(dataset) for dataset in DATASETS}
    titles = [title for title in HEADS if any(title in one for one in means.values())]
    if not titles:
        return NOT_YET
    chosen = chosen_head()
    rows = []
    for title in titles:
        cells = [f"**{title}**" if title == chosen else title]
        for dataset in DATASETS:
            mean = means[dataset].get(title)
            cells.append("–" if mean is None else f"{mean:.2f}")
        rows.append(cells)
    said = "" if chosen is None else f"In bold: the best on {CHOSEN_ON}, whose choice this is.\n"
    return f"{table(['mean AUC over ten classes, %', *DATASETS], rows)}\n{said}"


def classes(dataset: str) -> str:
    """Show the classes of every complete head; beside CIFAR-10 what the literature has."""
    found = {title: one for title, one in by_head(dataset).items() if len(one) == 10}
    if not found:
        return NOT_YET
    names = list(next(iter(found.values())))
    rows = [
        [title, *(f"{np.mean(one[name]):.1f}" for name in names)] for title, one in found.items()
    ]
    return table(["head", *names], rows)


def cost() -> str:
    """Show the seconds that one class takes when the features are there, and extraction's speed."""
    seconds: dict[str, list[tuple[float, float]]] = {}
    for row in read_rows(results_of("cifar10")):
        title = title_of(row)
        if title is not None:
            seconds.setdefault(title, []).append((row["fit_seconds"], row["score_seconds"]))
    rows = [
        [title, *(f"{np.median(side):.1f}" for side in zip(*pairs, strict=True))]
        for title, pairs in seconds.items()
    ]
    header = ["CIFAR-10, seconds a class (median)", "fit", "score 10,000"]
    return table(header, rows) if rows else NOT_YET


def speed() -> str:
    """Say how fast features are computed, beside the bare network in the same run."""
    path = RESULTS / "features-speed.json"
    if not path.exists():
        return NOT_YET
    found = json.loads(path.read_text(encoding="utf-8"))
    rate, share = found["images_per_second"], found["share_of_bare"]
    rows = [[name, f"{rate[name]:.0f}", f"{100 * share[name]:.0f} %"] for name in rate]
    header = [
        f"{found['resolution']} px, {found['machine']['threads']} thread",
        "images/s",
        "of bare",
    ]
    return table(header, rows)


def maps() -> str:
    """Show how well patch detectors find known damage on stop signs, and where."""
    rows = [
        [
            f"{row['title']}, {row['damage']}",
            *(f"{100 * row[name]:.1f}" for name in ("auc", "pixel_auc", "pro")),
        ]
        for row in read_rows(RESULTS / "feature-maps.jsonl")
    ]
    header = ["270 damaged and 270 whole stop signs, %", "image AUC", "pixel AUC", "PRO"]
    return table(header, rows) if rows else NOT_YET


BLOCKS: dict[str, Callable[[], str]] = {
    "features": summary,
    "features-cost": cost,
    "features-maps": maps,
    "features-speed": speed,
} | {f"features-{dataset}": partial(classes, dataset) for dataset in DATASETS}
