"""A few labels and dirty normals: on MNIST, fast recipe.

Run ``python benchmarks/structured_normals.py --data FOLDER SUITE`` with mnist.npz in the folder.
Each finished run is appended to results/SUITE.jsonl; started again, the script goes on.

- ``few-labels``: Deep SAD and HSC (the protocol of Ruff et al. 2020): one class is normal, images
  of one other class are labelled as anomalous so that they make a share of the training set, and
  all test images are scored. AUCs on the labelled class and on the classes never seen are apart.
  ``few-labels-best`` is Deep SAD alone with the recipe "best"; with ``--dataset cifar10`` too.
- ``other-images``: HSC that is shown no anomaly, or images of another data set in their place; with
  ``--dataset fashion-mnist`` too.
- ``dirty-normals``: a tenth of the training images is anomalous, and each form of training.
  ``dirty-features`` is the same for neighbours in pretrained features, with ``--dataset cifar10``.
- ``label-queue``: Deep SAD with twenty labels from a pool of new images, of which a tenth is
  anomalous: labels that the queue asks for, labels drawn at random, and none.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from insphere import DeepSVDD
from insphere.data.load import load_dataset
from insphere.detectors import DeepSAD, FeatureKNN, HypersphereClassifier
from insphere.experiments.store.jsonl_rows import append_row
from insphere.explain.label_queue import most_useful
from insphere.versions import versions
from missing_rows import already_measured

RESULTS = Path(__file__).parent / "results"
SHARES = (0.0, 0.01, 0.05, 0.1, 0.2)
BEST_SHARES = (0.1, 0.01)
HSC_SHARE = OTHERS_SHARE = 0.1
OTHER_SET = {"mnist": "fashion-mnist", "fashion-mnist": "mnist"}
POLLUTED = 0.1
FORMS: dict[str, dict[str, Any]] = {
    "clean": {},
    "blind": {},
    "refine": {"pollution": {"share": POLLUTED, "form": "refine"}},
    "soft": {"pollution": {"share": POLLUTED, "form": "soft"}},
    "hard": {"pollution": {"share": POLLUTED, "form": "hard"}},
    "soft-boundary": {"objective": "soft-boundary", "nu": POLLUTED},
}
NEIGHBORS = (2, 10, 50)
FEATURE_FORMS: dict[str, Any] = {
    "clean": None,
    "blind": None,
    "refine": {"share": POLLUTED, "form": "refine"},
    "hard": {"share": POLLUTED, "form": "hard"},
}
FIRST = 2500  # training images of each class in dirty-features
SETS_OF = {
    "few-labels-best": ("mnist", "cifar10"),
    "dirty-features": ("cifar10",),
    "other-images": ("mnist", "fashion-mnist"),
}
"""Sets of the suites that are not for MNIST alone."""
ARMS = ("none", "random", "queue")
LABELS, KNOWN, POOL = 20, 1000, 1000  # labels asked for, normal images, and new ones
SHORT = {"epochs": 10, "pretrain_epochs": 5}  # of the label queue

Arrays = dict[str, NDArray[Any]]
Run = tuple[dict[str, Any], Any]


def main() -> None:
    """Run a suite, or continue it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--normal", type=int, nargs="*", default=range(10), help="classes")
    parser.add_argument("--dataset", choices=("mnist", "fashion-mnist", "cifar10"), default="mnist")
    parser.add_argument(
        "--pretrain-epochs", type=int, default=10, help="of few-labels-best; the recipe takes 40"
    )
    given = parser.parse_args()
    if given.dataset not in SETS_OF.get(given.suite, ("mnist",)):
        parser.error(f"{given.suite} is for --dataset {SETS_OF.get(given.suite, ('mnist',))[0]}")
    mnist = _arrays(given.dataset, given.data)
    several = len(SETS_OF.get(given.suite, ())) > 1
    name = f"{given.suite}-{given.dataset}" if several else given.suite
    path = RESULTS / f"{name}.jsonl"
    done = already_measured(path)
    suite = SUITES[given.suite]
    if suite is few_labels_best:
        suite = partial(few_labels_best, epochs=given.pretrain_epochs)
    if suite is other_images:
        suite = partial(other_images, dataset=given.dataset)
    for seed in range(given.seeds):
        for what, measure in suite(mnist, seed):
            if what in done or what.get("normal", given.normal[0]) not in given.normal:
                continue
            started = time.perf_counter()
            measured = measure() | {"seconds": round(time.perf_counter() - started, 1)}
            append_row(path, what | {"measured": measured, "versions": versions()})
            print(what, measured, flush=True)


def _arrays(dataset: str, folder: Path) -> Arrays:
    """Return images and labels of both parts under the names of mnist.npz."""
    os.environ["INSPHERE_DATA"] = str(folder)
    data = load_dataset(dataset)
    assert data.is_test is not None
    return {
        f"{letter}_{part}": values[rows]
        for letter, values in (("x", data.images), ("y", data.labels))
        for part, rows in (("train", ~data.is_test), ("test", data.is_test))
    }


def few_labels(mnist: Arrays, seed: int) -> Iterator[Run]:
    """Yield the runs of the suite: what each is, and a function that measures it."""
    for method in (DeepSAD, HypersphereClassifier):
        for share in SHARES:
            for normal in range(10):
                if method is HypersphereClassifier and share != HSC_SHARE:
                    continue  # without labels both are Deep SVDD with another loss
                known = (normal + 1 + seed) % 10
                what = {
                    "method": method.card.key, "share": share, "normal": normal,
                    "labelled": known if share else None, "seed": seed,
                }  # fmt: skip
                yield (
                    what,
                    lambda m=method, s=share, n=normal, k=known: _labelled(mnist, m, s, n, k, seed),
                )


def few_labels_best(data: Arrays, seed: int, epochs: int) -> Iterator[Run]:
    """Yield Deep SAD with the recipe "best": rotation is learned before the sphere."""
    for share in BEST_SHARES:
        for normal in range(10):
            known = (normal + 1 + seed) % 10
            what = {
                "method": "deep-sad", "recipe": "best", "pretrain_epochs": epochs,
                "share": share, "normal": normal, "labelled": known, "seed": seed,
            }  # fmt: skip
            settings = {"recipe": "best", "pretrain_epochs": epochs, "contamination": 0.05}
            yield (
                what,
                lambda s=share, n=normal, k=known, o=settings: _labelled(
                    data, DeepSAD, s, n, k, seed, **o
                ),
            )


def _labelled(
    mnist: Arrays,
    method: type[DeepSAD],
    share: float,
    normal: int,
    known: int,
    seed: int,
    **options: Any,
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    own = np.flatnonzero(mnist["y_train"] == normal)
    count = round(len(own) * share / (1 - share))
    shown = rng.choice(np.flatnonzero(mnist["y_train"] == known), count, replace=False)
    X = mnist["x_train"][np.concatenate([own, shown])]
    y = np.repeat([0, -1], [len(own), len(shown)])
    detector = method(random_state=seed, **options).fit(X, y)
    scores = detector.anomaly_score(mnist["x_test"])
    digit = mnist["y_test"]
    unseen = digit != known
    return {
        "auc": _auc(digit != normal, scores),
        "auc_labelled": _auc(digit[~unseen | (digit == normal)] != normal,
                             scores[~unseen | (digit == normal)]),
        "auc_unseen": _auc(digit[unseen] != normal, scores[unseen]),
        "n_labelled": int(count),
    }  # fmt: skip


def other_images(data: Arrays, seed: int, dataset: str) -> Iterator[Run]:
    """Yield HSC for each class, without an anomaly and with images of another data set."""
    other = OTHER_SET[dataset]
    for normal in range(10):
        for shown in (None, other):
            what = {
                "method": "hsc", "normal": normal, "shown": shown,
                "share": OTHERS_SHARE if shown else 0.0, "seed": seed,
            }  # fmt: skip
            yield what, lambda n=normal, s=shown: _beside_others(data, n, s, seed)


def _beside_others(data: Arrays, normal: int, shown: str | None, seed: int) -> dict[str, Any]:
    X = data["x_train"][data["y_train"] == normal]
    y = np.zeros(len(X), int)
    if shown is not None:
        others = load_dataset(shown)
        assert others.is_test is not None
        count = round(len(X) * OTHERS_SHARE / (1 - OTHERS_SHARE))
        rows = np.random.default_rng(seed).choice(np.flatnonzero(~others.is_test), count, False)
        X, y = np.concatenate([X, others.images[rows]]), np.repeat([0, -1], [len(X), count])
    detector = HypersphereClassifier(random_state=seed, contamination=0.05).fit(X, y)
    return {"auc": _auc(data["y_test"] != normal, detector.anomaly_score(data["x_test"]))}


def dirty_normals(mnist: Arrays, seed: int) -> Iterator[Run]:
    """Yield every form of training for each digit, on one polluted training set."""
    for normal in range(10):
        for form in FORMS:
            what = {"normal": normal, "form": form, "share": POLLUTED, "seed": seed}
            yield what, lambda n=normal, f=form: _polluted(mnist, n, f, seed)


def _polluted(mnist: Arrays, normal: int, form: str, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    own = np.flatnonzero(mnist["y_train"] == normal)
    count = round(len(own) * POLLUTED / (1 - POLLUTED))
    others = rng.choice(np.flatnonzero(mnist["y_train"] != normal), count, replace=False)
    index = own if form == "clean" else rng.permutation(np.concatenate([own, others]))
    detector = DeepSVDD(recipe="fast", contamination=0.05, random_state=seed, **FORMS[form]).fit(
        mnist["x_train"][index]
    )
    return {"auc": _auc(mnist["y_test"] != normal, detector.anomaly_score(mnist["x_test"]))}


def dirty_features(data: Arrays, seed: int) -> Iterator[Run]:
    """Yield neighbours in pretrained features for each class, on one polluted training set."""
    for normal in range(10):
        for n_neighbors in NEIGHBORS:
            for form in FEATURE_FORMS:
                what = {
                    "normal": normal, "form": form, "n_neighbors": n_neighbors, "share": POLLUTED,
                    "seed": seed,
                }  # fmt: skip
                yield (
                    what,
                    lambda n=normal, k=n_neighbors, f=form: _dirty_neighbors(data, n, k, f, seed),
                )


def _dirty_neighbors(
    data: Arrays, normal: int, n_neighbors: int, form: str, seed: int
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    firsts = [np.flatnonzero(data["y_train"] == label)[:FIRST] for label in range(10)]
    own = firsts.pop(normal)
    count = round(len(own) * POLLUTED / (1 - POLLUTED))
    others = rng.choice(np.concatenate(firsts), count, replace=False)
    index = own if form == "clean" else rng.permutation(np.concatenate([own, others]))
    detector = FeatureKNN(
        resolution=128, resampling="bilinear", n_neighbors=n_neighbors,
        pollution=FEATURE_FORMS[form], contamination=0.05, random_state=seed,
    ).fit(data["x_train"][index])  # fmt: skip
    scores = detector.anomaly_score(data["x_test"])
    kept = index if detector._kept is None else index[detector._kept[: len(detector.training_)]]
    left = int((data["y_train"][kept] != normal).sum())
    return {"auc": _auc(data["y_test"] != normal, scores), "n": len(own), "anomalies_kept": left}


def label_queue(mnist: Arrays, seed: int) -> Iterator[Run]:
    """Yield for each digit a training without labels, with random ones, and with the queue's."""
    for normal in range(10):
        for arm in ARMS:
            what = {"normal": normal, "arm": arm, "labels": LABELS, "seed": seed}
            yield what, lambda n=normal, a=arm: _with_labels(mnist, n, a, seed)


def _with_labels(mnist: Arrays, normal: int, arm: str, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, normal])
    own = rng.permutation(np.flatnonzero(mnist["y_train"] == normal))
    others = rng.permutation(np.flatnonzero(mnist["y_train"] != normal))
    anomalies = round(POLLUTED * POOL)
    known = own[:KNOWN]
    pool = np.concatenate([own[KNOWN : KNOWN + POOL - anomalies], others[:anomalies]])
    at_random = rng.choice(len(pool), LABELS, replace=False)
    X, y, found = mnist["x_train"][known], np.zeros(len(known), int), 0
    if arm == "none":  # as many samples, so as many steps
        X = np.concatenate([X, mnist["x_train"][pool[:LABELS]]])
        y = np.zeros(len(X), int)
    else:
        chosen = at_random
        if arm == "queue":
            before = DeepSAD(**SHORT, false_alarm_rate=0.05, random_state=seed).fit(X, y)
            new = mnist["x_train"][pool]
            scores, vectors = before.anomaly_score(new), before.transform(new)
            chosen = most_useful(scores, before.threshold_, vectors, LABELS)
        labelled = pool[chosen]
        answers = np.where(mnist["y_train"][labelled] == normal, 1, -1)
        X = np.concatenate([X, mnist["x_train"][labelled]])
        y, found = np.concatenate([y, answers]), int((answers < 0).sum())
    detector = DeepSAD(**SHORT, false_alarm_rate=0.05, random_state=seed).fit(X, y)
    scores = detector.anomaly_score(mnist["x_test"])
    return {"auc": _auc(mnist["y_test"] != normal, scores), "anomalies_labelled": found}


def _auc(anomalous: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    return round(float(roc_auc_score(anomalous, scores)), 5)


SUITES: dict[str, Any] = {
    "few-labels": few_labels,
    "few-labels-best": few_labels_best,
    "other-images": other_images,
    "dirty-normals": dirty_normals,
    "dirty-features": dirty_features,
    "label-queue": label_queue,
}

if __name__ == "__main__":
    main()
