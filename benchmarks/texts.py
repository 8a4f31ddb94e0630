"""Detectors of texts beside controls on character n-grams: SMS and news about an illness.

Run ``python benchmarks/texts.py --data FOLDER`` with texts.zip in the folder; rows are appended to
results/texts.jsonl as they come, and what is there is not run again. Protocol: half of the normal
texts train; the other half and all anomalies are the test. Each seed splits anew. The controls:
TF-IDF of characters (2 to 4 within words, sublinear) with the mean cosine distance to 2 neighbours,
and with a one-class SVM (RBF, ν = 0.1); and the length of the text alone.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.svm import OneClassSVM

from insphere.detectors.registry import build_detector
from insphere.versions import versions
from missing_rows import arguments, measure_missing

RESULTS = Path(__file__).parent / "results" / "texts.jsonl"
Texts = list[str]
Score = Callable[[Texts, Texts, int], np.ndarray]
PLAIN: dict[str, Any] = {"characters": False}


def detector(method: str, params: dict[str, Any]) -> Score:
    """Return the scores of a detector as a function of training and test texts and the seed."""

    def score(train: Texts, test: Texts, seed: int) -> np.ndarray:
        trained = params | {"contamination": 0.05}
        return build_detector(method, trained, seed=seed).fit(train).anomaly_score(test)

    return score


def grams(train: Texts, test: Texts) -> tuple[Any, Any]:
    """Return the TF-IDF of character n-grams, rows of length 1."""
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    return vectors.fit_transform(train), vectors.transform(test)


def gram_knn(train: Texts, test: Texts, seed: int) -> np.ndarray:
    """Score by the mean cosine distance to the two nearest training texts."""
    known, new = grams(train, test)
    alike = (new @ known.T).toarray()
    return 1 - np.partition(alike, -2, axis=1)[:, -2:].mean(axis=1)


def gram_svm(train: Texts, test: Texts, seed: int) -> np.ndarray:
    """Score with a one-class SVM."""
    known, new = grams(train, test)
    return -OneClassSVM(nu=0.1).fit(known).decision_function(new)


def length(train: Texts, test: Texts, seed: int) -> np.ndarray:
    """Score by how far the length is from the usual one, on a logarithmic scale."""
    usual = np.median([np.log(len(t)) for t in train])
    return np.array([abs(np.log(len(t)) - usual) for t in test])


METHODS: dict[str, Score] = {
    "text-mahalanobis": detector("text-mahalanobis", {}),
    "text-knn": detector("text-knn", {}),
    "text-svdd": detector("text-svdd", {}),
    "text-surprise": detector("text-surprise", {}),
    "cvdd": detector("cvdd", {}),
    "cvdd, words alone": detector("cvdd", PLAIN),
    "text-mahalanobis, embeddings alone": detector("text-mahalanobis", PLAIN),
    "text-mahalanobis, last layer alone": detector("text-mahalanobis", PLAIN | {"layers": "last"}),
    "text-knn, embeddings alone": detector("text-knn", PLAIN),
    "text-knn, last layer alone": detector("text-knn", PLAIN | {"layers": "last"}),
    "text-svdd, embeddings alone": detector("text-svdd", PLAIN),
    "n-grams, 2-NN": gram_knn,
    "n-grams, OC-SVM": gram_svm,
    "length": length,
}


def main() -> None:
    """Measure what is missing."""
    given = arguments(__doc__, list(METHODS), RESULTS)
    with zipfile.ZipFile(given.data / "texts.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jsonl"))
        sets = {Path(name).stem: read(archive.read(name)) for name in names}
    measure_missing(given, sets, lambda name, seed: sets[name], measured)


def read(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return texts and truth of JSON lines."""
    rows = [json.loads(line) for line in io.BytesIO(content)]
    return np.array([r["text"] for r in rows], object), np.array([r["anomaly"] for r in rows])


def measured(
    title: str, seed: int, method: str, texts: np.ndarray, truth: np.ndarray
) -> dict[str, Any]:
    """Fit and score one method."""
    normal = np.random.default_rng(seed).permutation(np.flatnonzero(truth == 0))
    half = len(normal) // 2
    test = np.concatenate([normal[half:], np.flatnonzero(truth)])
    started = time.perf_counter()
    scores = METHODS[method](texts[normal[:half]].tolist(), texts[test].tolist(), seed)
    return {
        "set": title,
        "seed": seed,
        "method": method,
        "auc": round(float(roc_auc_score(truth[test], scores)), 5),
        "average_precision": round(float(average_precision_score(truth[test], scores)), 5),
        "seconds": round(time.perf_counter() - started, 2),
        "n_train": half,
        "n_test": len(test),
        "versions": versions(),
    }


if __name__ == "__main__":
    main()
