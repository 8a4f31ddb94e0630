"""Tables on self-supervised pretraining, from the rows of `pretraining.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from insphere.experiments.store.jsonl_rows import read_rows
from tables_of_rows import markdown, spread

RESULTS = Path(__file__).parent / "results"
SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
EPOCHS = {"10-epochs-": 10, "": 40, "180-epochs-": 180, "360-epochs-": 360}
"""Of pretraining; names of files begin with the keys."""
MEASURED = {
    prefix + name: f"{title}, {epochs} epochs"
    for name, title in SETS.items()
    for prefix, epochs in EPOCHS.items()
}
HEADS = ("center", "ellipsoid", "neighbors")
ALIKE = "pixels beside those that look alike"
"""Distances of blurred pixels, compared with what is usual for images that look alike."""
COLUMNS = {
    "best": "best recipe",
    "surprise": "surprise alone",
    "ellipsoid": "ellipsoid alone",
    "neighbors": "2-NN in the representation",
    "plain": "best recipe without appearance",
    "untrained": "untrained",
    "pixels": "2-NN, blurred pixels",
    ALIKE: "2-NN, blurred pixels, with appearance",
}


def rows_of(name: str) -> list[dict[str, Any]]:
    """Return the rows of a data set, each with its controls if they are there."""
    found = list(read_rows(RESULTS / f"pretraining-{name}.jsonl"))
    # The control is that of any epochs. Two names end with "mnist".
    own = max((one for one in SETS if name.endswith(one)), key=len)
    for control in read_rows(RESULTS / f"pretraining-untrained-{own}.jsonl"):
        for row in found:
            if (row["normal"], row["seed"]) == (control["normal"], control["seed"]):
                row["auc"] |= control["auc"]
    for plain in read_rows(RESULTS / f"pretraining-plain-{name}.jsonl"):
        for row in found:
            if (row["normal"], row["seed"]) == (plain["normal"], plain["seed"]):
                row["auc"]["plain"] = plain["auc"]["best"]
    return found


def mean_of(name: str, column: str) -> str:
    """Return the mean over the classes that were measured, and how many if not all ten."""
    found: dict[str, list[float]] = {}
    for row in rows_of(name):
        if column in row["auc"]:
            found.setdefault(row["normal"], []).append(100 * row["auc"][column])
    if not found:
        return "–"
    mean = f"{np.mean([np.mean(values) for values in found.values()]):.1f}"
    return mean if len(found) == 10 else f"{mean} ({len(found)} classes)"


def means() -> str:
    """Show the means over classes, one line a data set."""
    lines = [
        [title, *(mean_of(name, column) for column in COLUMNS)]
        for name, title in MEASURED.items()
        if rows_of(name)
    ]
    return markdown(["mean AUC, %", *COLUMNS.values()], lines)


def by_class(name: str) -> str:
    """Show one line a class."""
    rows = rows_of(name)
    lines = []
    for normal in dict.fromkeys(row["normal"] for row in rows):
        own = [row for row in rows if row["normal"] == normal]
        cells = [spread([100 * row["auc"][c] for row in own if c in row["auc"]]) for c in COLUMNS]
        told = np.mean([row["told"]["turn_told"] for row in own])
        seconds = np.mean([row["fit_seconds"] for row in own])
        mirror = own[0]["pretraining"]["mirror"]
        lines.append([normal, *cells, f"{100 * told:.0f}", mirror, f"{seconds:.0f}"])
    header = [*COLUMNS.values(), "turns told, %", "mirror images", "seconds to fit"]
    return markdown(["normal class", *header], lines)


def spheres() -> str:
    """Show what a sphere adds over distances in the same representation, with its interval."""
    lines = []
    for name, title in SETS.items():
        aucs: dict[str, dict[str, dict[str, float]]] = {}
        for row in read_rows(RESULTS / f"pretraining-sphere-{name}.jsonl"):
            aucs.setdefault(row["how"], {})[row["normal"]] = row["auc"]
        if len(aucs) < 2:
            continue
        before, after = aucs.values()
        both = [normal for normal in before if normal in after]
        for how, found in aucs.items():
            means = [100 * np.mean([found[normal][head] for normal in both]) for head in HEADS]
            lines.append([f"{title}: {how}", *(f"{mean:.2f}" for mean in means)])
        gains = [
            [100 * (after[normal]["center"] - before[normal][head]) for normal in both]
            for head in HEADS
        ]
        gained = f"{title}: the trained sphere's `center`, less each head without it"
        lines.append([gained, *(with_interval(values) for values in gains)])
    return markdown(["mean AUC, %", *HEADS], lines)


def with_interval(differences: list[float]) -> str:
    """Write a mean difference over classes with its 95 % interval (Student's t)."""
    mean, n = float(np.mean(differences)), len(differences)
    if n < 2:
        return f"{mean:+.2f}"
    half = float(t.ppf(0.975, n - 1)) * float(np.std(differences, ddof=1)) / n**0.5
    return f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


def contrast() -> str:
    """Show contrast and its relatives beside rotation, one line a form and budget."""
    rows = list(read_rows(RESULTS / "contrast.jsonl"))
    sets = list(dict.fromkeys((row["set"], row["normal"]) for row in rows))
    kinds = sorted({(row["steps"], row["form"]) for row in rows}, key=lambda kind: kind[0])
    order = list(dict.fromkeys(row["form"] for row in rows))
    kinds.sort(key=lambda kind: (kind[0], order.index(kind[1])))
    lines = []
    for steps, form in kinds:
        cells = [form, str(steps)]
        for key in sets:
            own = [
                row
                for row in rows
                if (row["set"], row["normal"], row["steps"], row["form"]) == (*key, steps, form)
            ]
            for part in ("ellipsoid", "neighbors"):
                cells.append(spread([100 * row["auc"][part] for row in own]))
            cells.append(spread([row["seconds"] for row in own]))
        lines.append(cells)
    header = ["pretraining", "steps"]
    for name, number in sets:
        title = f"{SETS[name]}, class {number}"
        header += [f"{title}: ellipsoid", "2-NN", "seconds"]
    return markdown(header, lines)


def rulers() -> str:
    """Show nearest neighbours by the image distortion model beside blurred pixels."""
    found = read_rows(RESULTS / "ruler.jsonl")
    return "\n".join(
        _ruler(sorted((row for row in found if row["set"] == name), key=_class), title)
        for name, title in SETS.items()
        if any(row["set"] == name for row in found)
    )


def _class(row: dict[str, Any]) -> str:
    name: str = row["normal"]
    return name


def _ruler(rows: list[dict[str, Any]], title: str) -> str:
    header = [f"{title}: 2-NN, AUC, %", *map(_class, rows), "mean"]
    lines = []
    for ruler, measured in (
        ("blurred", "blurred pixels"),
        ("distortion", "image distortion model"),
    ):
        aucs = [100 * row["auc"][ruler] for row in rows]
        mean = f"{np.mean(aucs):.2f}" if len(aucs) == 10 else "–"
        lines.append([measured, *(f"{value:.1f}" for value in aucs), mean])
    return markdown(header, lines)


BLOCKS: dict[str, Callable[[], str]] = {
    "pretraining": means,
    "pretraining-sphere": spheres,
    "pretraining-contrast": contrast,
    "pretraining-ruler": rulers,
    **{f"pretraining-{name}": lambda name=name: by_class(name) for name in MEASURED},
}
