"""A few labels, several classes in one model, dirty normals: on MNIST, fast recipe.

Run ``python benchmarks/structured_normals.py --data FOLDER SUITE`` with mnist.npz in the folder.
Each finished run is appended to results/SUITE.jsonl; started again, the script goes on.

- ``few-labels``: Deep SAD and HSC (the protocol of Ruff et al. 2020): one digit is normal, images
  of one other digit are labelled as anomalous so that they make a share of the training set, and
  all test images are scored. AUCs on the labelled digit and on the digits never seen are apart.
- ``several-classes``: one model with a sphere for each digit, beside ten models.
- ``dirty-normals``: a tenth of the training images is anomalous, and each form of training.
- ``label-queue``: Deep SAD with twenty labels from a pool of new images, of which a tenth is
  anomalous: labels that the queue asks for, labels drawn at random, and none.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from insphere import DeepSVDD
from insphere.detectors import DeepSAD, HypersphereClassifier
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.explain.label_queue import most_useful
from insphere.versions import versions

RESULTS = Path(__file__).parent / "results"
SHARES = (0.0, 0.01, 0.1)
POLLUTED = 0.1
FORMS: dict[str, dict[str, Any]] = {
    "clean": {},
    "blind": {},
    "refine": {"pollution": {"share": POLLUTED, "form": "refine"}},
    "soft": {"pollution": {"share": POLLUTED, "form": "soft"}},
    "hard": {"pollution": {"share": POLLUTED, "form": "hard"}},
    "soft-boundary": {"objective": "soft-boundary", "nu": POLLUTED},
}
ARMS = ("none", "random", "queue")
LABELS, KNOWN, POOL = 20, 1000, 1000  # labels asked for, normal images, and new ones
SHORT = {"epochs": 10, "pretrain_epochs": 5}  # of the label queue
ONE_MODEL = {"epochs": 3, "pretrain_epochs": 2}  # a fifth of the epochs of the fast recipe

Arrays = dict[str, NDArray[Any]]
Run = tuple[dict[str, Any], Any]


def main() -> None:
    """Run a suite, or continue it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--normal", type=int, nargs="*", default=range(10), help="digits")
    given = parser.parse_args()
    with np.load(given.data / "mnist.npz", allow_pickle=False) as archive:
        mnist = {name: archive[name] for name in archive.files}
    path = RESULTS / f"{given.suite}.jsonl"
    done = [
        {k: v for k, v in row.items() if k not in ("measured", "versions")}
        for row in read_rows(path)
    ]
    for seed in range(given.seeds):
        for what, measure in SUITES[given.suite](mnist, seed):
            if what in done or what.get("normal", given.normal[0]) not in given.normal:
                continue
            started = time.perf_counter()
            measured = measure() | {"seconds": round(time.perf_counter() - started, 1)}
            append_row(path, what | {"measured": measured, "versions": versions()})
            print(what, measured, flush=True)


def few_labels(mnist: Arrays, seed: int) -> Iterator[Run]:
    """Yield the runs of the suite: what each is, and a function that measures it."""
    for method in (DeepSAD, HypersphereClassifier):
        for share in SHARES:
            for normal in range(10):
                if method is HypersphereClassifier and share != SHARES[-1]:
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


def _labelled(
    mnist: Arrays, method: type[DeepSAD], share: float, normal: int, known: int, seed: int
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    own = np.flatnonzero(mnist["y_train"] == normal)
    count = round(len(own) * share / (1 - share))
    shown = rng.choice(np.flatnonzero(mnist["y_train"] == known), count, replace=False)
    X = mnist["x_train"][np.concatenate([own, shown])]
    y = np.repeat([0, -1], [len(own), len(shown)])
    scores = method(random_state=seed).fit(X, y).anomaly_score(mnist["x_test"])
    digit = mnist["y_test"]
    unseen = digit != known
    return {
        "auc": _auc(digit != normal, scores),
        "auc_labelled": _auc(digit[~unseen | (digit == normal)] != normal,
                             scores[~unseen | (digit == normal)]),
        "auc_unseen": _auc(digit[unseen] != normal, scores[unseen]),
        "n_labelled": int(count),
    }  # fmt: skip


def several_classes(mnist: Arrays, seed: int) -> Iterator[Run]:
    """Yield one model of ten classes, then the ten models that it stands beside."""
    yield {"models": 1, "classes": 10, "seed": seed}, lambda: _one_model(mnist, seed)
    for normal in range(10):
        yield (
            {"models": 10, "normal": normal, "seed": seed},
            lambda n=normal: _own_model(mnist, n, seed),
        )


def _one_model(mnist: Arrays, seed: int) -> dict[str, Any]:
    started = time.perf_counter()
    detector = DeepSVDD(**ONE_MODEL, contamination=0.05, random_state=seed)
    detector.fit(mnist["x_train"], mnist["y_train"])
    fitted = time.perf_counter() - started
    scores, digit = detector.class_scores(mnist["x_test"]), mnist["y_test"]
    return {
        "auc_by_class": [_auc(digit != k, scores[:, k]) for k in range(10)],
        "accuracy": round(float((scores.argmin(axis=1) == digit).mean()), 4),
        "fit_seconds": round(fitted, 1),
    }


def _own_model(mnist: Arrays, normal: int, seed: int) -> dict[str, Any]:
    started = time.perf_counter()
    detector = DeepSVDD(contamination=0.05, random_state=seed).fit(
        mnist["x_train"][mnist["y_train"] == normal]
    )
    fitted = time.perf_counter() - started
    scores = detector.anomaly_score(mnist["x_test"])
    return {"auc": _auc(mnist["y_test"] != normal, scores), "fit_seconds": round(fitted, 1)}


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
    detector = DeepSVDD(contamination=0.05, random_state=seed, **FORMS[form]).fit(
        mnist["x_train"][index]
    )
    return {"auc": _auc(mnist["y_test"] != normal, detector.anomaly_score(mnist["x_test"]))}


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


SUITES = {
    "few-labels": few_labels,
    "several-classes": several_classes,
    "dirty-normals": dirty_normals,
    "label-queue": label_queue,
}

if __name__ == "__main__":
    main()
