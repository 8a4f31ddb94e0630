"""Tables of detectors on features, from the rows in ``results/``."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import numpy as np

from feature_develop import CANDIDATES, ROWS, chosen_heads, means_without
from features import HEADS, RESULTS, by_head, complete_means, results_of, title_of
from insphere.experiments.analysis.published_results import REPORTED_FPSVDD
from insphere.experiments.store.jsonl_rows import read_rows
from tables_of_rows import markdown

DATASETS = ("cifar10", "fashion-mnist", "mnist")
NOT_YET = "Not measured yet.\n"


def summary() -> str:
    """Lay out the mean AUC of every head on every dataset whose classes were all measured."""
    means = {dataset: complete_means(dataset) for dataset in DATASETS}
    titles = [title for title in HEADS if any(title in one for one in means.values())]
    if not titles:
        return NOT_YET
    chosen = set(chosen_heads().values())
    rows = [
        [
            f"**{title}**" if title in chosen else title,
            *(f"{one[title]:.2f}" if title in one else "–" for one in means.values()),
        ]
        for title in titles
    ]
    return markdown(["mean AUC, %", *DATASETS], rows)


def develop() -> str:
    """Lay out the selection of the head on training images, and its AUC on test images."""
    means = means_without(None, read_rows(ROWS))
    chosen = chosen_heads()
    if not chosen:
        return NOT_YET
    often = {title: sum(one == title for one in chosen.values()) for title in CANDIDATES}
    rows = [
        [title, f"{100 * means[title]:.2f}", str(often[title])]
        for title in sorted(CANDIDATES, key=lambda one: -means[one])
    ]
    header = ["CIFAR-10, training images only", "mean AUC, %", "classes for which it is selected"]
    found = by_head("cifar10")
    reached = [np.mean(found.get(title, {}).get(name, [np.nan])) for name, title in chosen.items()]
    said = f"The selected heads have a mean AUC of {np.mean(reached):.2f} % on the test images.\n"
    return f"{markdown(header, rows)}\n{said}"


def chosen_mean(dataset: str) -> str:
    """Return the mean AUC over ten classes of the selected head, if it is the same for all."""
    chosen = set(chosen_heads().values())
    mean = complete_means(dataset).get(chosen.pop()) if len(chosen) == 1 else None
    return "–" if mean is None else f"{mean:.1f}"


def classes(dataset: str) -> str:
    """Lay out every head by class, as far as it was run, with the mean of all ten classes."""
    found = by_head(dataset)
    if not found:
        return NOT_YET
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    means = complete_means(dataset)
    reported = REPORTED_FPSVDD.get(dataset, {})
    rows = []
    for place, title in enumerate(("Deep SVDD", "FPSVDD") if reported else ()):
        cells = {name: pair[place] for name, pair in reported.items()}
        rows.append(
            [
                f"*report: {title}*",
                *(f"{cells[name]:.1f}" for name in names),
                f"{np.mean(list(cells.values())):.2f}",
            ]
        )
    rows += [
        [
            title,
            *(f"{np.mean(one[name]):.1f}" if name in one else "–" for name in names),
            f"**{means[title]:.2f}**" if title in means else f"({len(one)} of 10)",
        ]
        for title, one in found.items()
    ]
    return markdown(["head", *names, "mean"], rows)


def trials() -> str:
    """Lay out what was tried on a part of a class before it became an option."""
    found: dict[str, dict[str, float]] = {}
    for row in read_rows(RESULTS / "feature-trials.jsonl"):
        name = f"{row['dataset']}, {row['normal']}"
        found.setdefault(row["trial"], {})[name] = 100 * row["auc"]
    if not found:
        return NOT_YET
    names = list(next(iter(found.values())))
    rows = [
        [trial, *(f"{one[name]:.1f}" if name in one else "–" for name in names)]
        for trial, one in found.items()
    ]
    return markdown(["AUC, %", *names], rows)


def cost() -> str:
    """Lay out the seconds for one class, with features that were computed before.

    The fastest class counts, because others ran while the machine was busy with other work.
    """
    seconds: dict[str, list[tuple[float, float]]] = {}
    for row in read_rows(results_of("cifar10")):
        title = title_of(row)
        if title is not None:
            seconds.setdefault(title, []).append((row["fit_seconds"], row["score_seconds"]))
    rows = [
        [title, *(f"{min(side):.1f}" for side in zip(*pairs, strict=True))]
        for title, pairs in seconds.items()
    ]
    header = ["CIFAR-10, seconds for one class (the fastest)", "fit", "score 10,000 images"]
    return markdown(header, rows) if rows else NOT_YET


def speed() -> str:
    """Lay out the speed of feature extraction, and of the network alone in the same run."""
    path = RESULTS / "features-speed.json"
    if not path.exists():
        return NOT_YET
    found = json.loads(path.read_text(encoding="utf-8"))
    rate, share = found["images_per_second"], found["share_of_bare"]
    rows = [[name, f"{rate[name]:.0f}", f"{100 * share[name]:.0f} %"] for name in rate]
    header = [
        f"{found['resolution']} px, {found['machine']['threads']} thread",
        "images a second",
        "share of the speed of the network alone",
    ]
    return markdown(header, rows)


def maps() -> str:
    """Lay out how well patch detectors find and locate known damage on stop signs."""
    rows = [
        [
            f"{row['title']}, {row['damage']}",
            *(f"{100 * row[name]:.1f}" for name in ("auc", "pixel_auc", "pro")),
        ]
        for row in read_rows(RESULTS / "feature-maps.jsonl")
    ]
    header = ["270 damaged and 270 undamaged stop signs, %", "image AUC", "pixel AUC", "PRO"]
    return markdown(header, rows) if rows else NOT_YET


BLOCKS: dict[str, Callable[[], str]] = {
    "features": summary,
    "features-develop": develop,
    "features-cost": cost,
    "features-trials": trials,
    "features-maps": maps,
    "features-speed": speed,
} | {f"features-{dataset}": partial(classes, dataset) for dataset in DATASETS}
