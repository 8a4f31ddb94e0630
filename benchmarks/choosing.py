"""How good the choice of a method without labels is, on sets that have labels.

Run ``python benchmarks/choosing.py --data FOLDER [SET …]``; rows go to results/choosing.jsonl, and
candidates that are there already are left out. ``--without NAME`` leaves out a slow candidate. Each
row is one candidate on one set: its AUC on each kind of made-up anomaly (from normal images alone),
and its AUC on the labelled test images, by which nothing was chosen.
"""

from __future__ import annotations

import argparse
import csv
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score

from insphere.data.load import load_dataset
from insphere.detectors.registry import build_detector
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.versions import versions
from insphere.workflows.choose import choose
from insphere.workflows.choosing.candidates import CANDIDATES, applicable

RESULTS = Path(__file__).parent / "results" / "choosing.jsonl"
NORMALS, TEST = 150, 120
TILE = (320, 256)  # height, width


@dataclass
class Task:
    """Normal images to choose and train on, and labelled ones to measure the choice."""

    name: str
    train: np.ndarray
    normal: np.ndarray
    anomalous: dict[str, np.ndarray]
    groups: np.ndarray | None = None


def some(images: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Draw images without replacement."""
    rows = np.random.default_rng(seed).permutation(len(images))[:count]
    return np.ascontiguousarray(images[np.sort(rows)])


def one_class(
    name: str, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], of: int
) -> Task:
    """Take one class as normal and all others as anomalous."""
    others = some(test[0][test[1] != of], TEST)
    normal = some(test[0][test[1] == of], TEST)
    return Task(name, some(train[0][train[1] == of], NORMALS), normal, {"other classes": others})


def mnist(data: Path) -> Iterator[Task]:
    """Two digits of MNIST."""
    with np.load(data / "mnist.npz", allow_pickle=False) as file:
        parts = [(file[f"x_{part}"][..., None], file[f"y_{part}"]) for part in ("train", "test")]
    for digit in (4, 8):
        yield one_class(f"mnist-{digit}", parts[0], parts[1], digit)


def fashion(data: Path) -> Iterator[Task]:
    """Two classes of Fashion-MNIST."""
    loaded = load_dataset("fashion-mnist", progress=False)
    assert loaded.is_test is not None
    parts = [(loaded.images[of], loaded.labels[of]) for of in (~loaded.is_test, loaded.is_test)]
    for number in (0, 5):
        yield one_class(f"fashion-{loaded.class_names[number]}", parts[0], parts[1], number)


def cifar(data: Path) -> Iterator[Task]:
    """Two classes of CIFAR-10, as JPEG."""
    with zipfile.ZipFile(data / "cifar10-jpeg.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        classes = sorted({name.split("/")[-2] for name in names})

        def read(part: str, one: str, count: int) -> np.ndarray:
            listed = [name for name in names if f"/{part}/{one}/" in name]
            rows = np.random.default_rng(1).permutation(len(listed))[:count]
            return np.stack(
                [np.asarray(Image.open(BytesIO(archive.read(listed[r])))) for r in rows]
            )

        for one in ("airplane", "cat"):
            others = [read("test", other, 14) for other in classes if other != one]
            yield Task(
                f"cifar10-{one}",
                read("train", one, NORMALS),
                read("test", one, TEST),
                {"other classes": np.concatenate(others)},
            )


def signs(data: Path) -> Iterator[Task]:
    """Stop signs: other signs, attacked ones, and damage that is hardly visible."""
    loaded = load_dataset("stop-signs", progress=False)
    names, labels = loaded.class_names, loaded.labels
    assert loaded.is_test is not None
    stop = labels == names.index("stop")
    wanted = ("other signs", "boundary 5000", "stickers 1", "graffiti 1", "dirt 1", "blur 1")
    yield Task(
        "stop-signs",
        some(loaded.images[stop & ~loaded.is_test], NORMALS),
        some(loaded.images[stop & loaded.is_test], TEST),
        {one: some(loaded.images[labels == names.index(one)], 60) for one in wanted},
    )


def tiles(data: Path) -> Iterator[Task]:
    """Magnetic tiles by defect, split by tile."""
    found: dict[str, list[np.ndarray]] = {}
    groups = []
    with zipfile.ZipFile(data / "magnetic-tiles.zip") as archive:
        table = archive.read("magnetic-tiles/tiles.csv").decode().splitlines()
        tile = {row["file"]: int(row["tile"]) for row in csv.DictReader(table)}
        for name in sorted(archive.namelist()):
            part = name.removeprefix("magnetic-tiles/")
            if part.startswith(("train/", "test/")) and part.endswith(".jpg"):
                image = Image.open(BytesIO(archive.read(name))).convert("L")
                small = np.asarray(image.resize(TILE[::-1], Image.Resampling.BICUBIC))
                found.setdefault(part.rpartition("/")[0], []).append(small[..., None])
                if part.startswith("train/"):
                    groups.append(tile[part])
    images = {name: np.stack(listed) for name, listed in found.items()}
    train, normal = images.pop("train/good"), images.pop("test/good")
    anomalous = {name.removeprefix("test/"): found for name, found in images.items()}
    yield Task("magnetic-tiles", train, normal, anomalous, np.array(groups))


def few_tiles(data: Path) -> Iterator[Task]:
    """About 150 photographs of good tiles, and as many test images as of the other sets."""
    (whole,) = tiles(data)
    assert whole.groups is not None
    names = np.random.default_rng(0).permutation(np.unique(whole.groups))
    sizes = np.cumsum([(whole.groups == name).sum() for name in names])
    kept = np.isin(whole.groups, names[: int(np.searchsorted(sizes, NORMALS)) + 1])
    yield Task(
        "magnetic-tiles",
        whole.train[kept],
        some(whole.normal, TEST),
        {name: some(images, 24) for name, images in whole.anomalous.items()},
        whole.groups[kept],
    )


SETS: dict[str, Callable[[Path], Iterator[Task]]] = {
    "mnist": mnist,
    "fashion": fashion,
    "cifar": cifar,
    "signs": signs,
    "tiles": few_tiles,
}


def auc(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """Return the AUC of two lists of scores."""
    truth = np.repeat([0, 1], [len(normal), len(anomalous)])
    return round(float(roc_auc_score(truth, np.concatenate([normal, anomalous]))), 4)


def measured(
    task: Task, done: set[tuple[str, str]], without: list[str]
) -> Iterator[dict[str, Any]]:
    """Choose on the normal images, then fit every candidate and measure it with labels."""
    candidates = [candidate for candidate in CANDIDATES if candidate.name not in without]
    choice = choose(
        task.train,
        groups=task.groups,
        candidates=candidates,
        minutes=1e6,
        progress=lambda sentence: print(task.name, sentence, flush=True),
    )
    rows = {row["candidate"]: row for row in choice.table()}
    told = {"set": task.name, "n": len(task.train), "n_held": choice.n_held, "versions": versions()}
    scored: dict[str, dict[str, np.ndarray]] = {}
    fitting, _ = applicable(candidates, task.train.shape[1:], len(task.train))
    for candidate in fitting:
        if candidate.name not in rows or (task.name, candidate.name) in done:
            continue
        started = time.perf_counter()
        params = {**candidate.params, **candidate.trial, "contamination": 0.05}
        detector = build_detector(candidate.method, params, seed=0).fit(task.train)
        scored[candidate.name] = {
            "normal": detector.anomaly_score(task.normal),
            **{name: detector.anomaly_score(some_) for name, some_ in task.anomalous.items()},
        }
        yield {
            **told,
            **rows[candidate.name],
            "truth": truth_of(scored[candidate.name]),
            "test_seconds": round(time.perf_counter() - started, 1),
            "recommended": candidate.name == choice.best.name,
        }
    for row in choice.rows:  # combinations, from the ranks of what was scored above
        if len(row.members) > 1 and all(one.name in scored for one in row.members):
            yield {
                **told,
                **rows[row.name],
                "truth": truth_of(together([scored[one.name] for one in row.members])),
                "recommended": row.name == choice.best.name,
            }


def truth_of(scores: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the AUC against each kind of anomaly, and against all of them."""
    kinds = [name for name in scores if name != "normal"]
    found = {name: auc(scores["normal"], scores[name]) for name in kinds}
    return found | {"all": auc(scores["normal"], np.concatenate([scores[k] for k in kinds]))}


def together(members: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Combine scores in units of the spread of normal test scores around their median.

    This stands in for the severities of a fitted combination, which would need one more training of
    each member. No label of an anomaly is used.
    """
    out: dict[str, np.ndarray] = {}
    for name in members[0]:
        total = np.zeros(len(members[0][name]))
        for one in members:
            middle = np.median(one["normal"])
            spread = np.quantile(one["normal"], 0.9) - middle
            total += (one[name] - middle) / max(spread, 1e-12)
        out[name] = total / len(members)
    return out


def main() -> None:
    """Measure what has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    done = {(row["set"], row["candidate"]) for row in read_rows(given.out)}
    for name in given.sets:
        for task in SETS[name](given.data):
            for row in measured(task, done, given.without):
                append_row(given.out, row)


if __name__ == "__main__":
    main()
