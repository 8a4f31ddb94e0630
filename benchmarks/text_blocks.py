"""What `quote.py` says about texts, from the rows in ``results/``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from insphere.experiments.store.jsonl_rows import read_rows
from tables_of_rows import methods_by_set

ROWS = Path(__file__).parent / "results" / "texts.jsonl"
SETS = {"smsspam": "SMS", "covid_fake": "news"}
TITLES = {
    "text-mahalanobis": "`text-mahalanobis`, the default",
    "text-knn": "`text-knn`",
    "text-svdd": "`text-svdd`",
    "text-surprise": "`text-surprise`: characters alone",
    "cvdd": "`cvdd`",
    "cvdd, words alone": "`cvdd`, without characters",
    "text-mahalanobis, embeddings alone": "`text-mahalanobis`, without characters",
    "text-knn, embeddings alone": "`text-knn`, without characters",
    "text-svdd, embeddings alone": "`text-svdd`, without characters",
    "text-mahalanobis, last layer alone": "`text-mahalanobis`, last layer, without characters",
    "text-knn, last layer alone": "`text-knn`, last layer, without characters",
    "n-grams, 2-NN": "control: character n-grams, 2 nearest",
    "n-grams, OC-SVM": "control: character n-grams, OC-SVM",
    "length": "control: the length alone",
}


def texts() -> str:
    """Set out mean and standard deviation over the seeds, for each method and set."""
    return methods_by_set(read_rows(ROWS), TITLES, SETS)


BLOCKS: dict[str, Callable[[], str]] = {"texts": texts}
