"""What `quote.py` says about graphs, from the rows in ``results/``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from insphere.experiments.store.jsonl_rows import read_rows
from tables_of_rows import methods_by_set

ROWS = Path(__file__).parent / "results" / "graphs.jsonl"
SETS = {"cora": "Cora", "citeseer": "Citeseer"}
TITLES = {
    "graph-knn": "`graph-knn`, the default",
    "graph-knn, 1 step": "`graph-knn`, 1 step",
    "graph-knn, 3 steps": "`graph-knn`, 3 steps",
    "graph-knn, 2 neighbours": "`graph-knn`, 2 neighbours",
    "ocgnn": "`ocgnn`",
    "ocgnn, sampled": "`ocgnn`, 5 neighbours sampled",
    "ocgnn, untrained": "`ocgnn`, untrained",
    "averaged, tf-idf, 2-NN": "control: averaged features, TF-IDF, 2 nearest",
    "averaged, tf-idf, 10-NN": "control: averaged features, TF-IDF, 10 nearest",
    "averaged, plain, 2-NN": "control: averaged features, 2 nearest",
    "averaged, plain, 10-NN": "control: averaged features, 10 nearest",
    "node alone, tf-idf, 2-NN": "control: features alone, TF-IDF, 2 nearest",
    "node alone, tf-idf, 10-NN": "control: features alone, TF-IDF, 10 nearest",
    "node alone, plain, 2-NN": "control: features alone, 2 nearest",
    "node alone, plain, 10-NN": "control: features alone, 10 nearest",
}


def graphs() -> str:
    """Set out mean and standard deviation over the seeds of the mean AUC over the classes."""
    return methods_by_set(read_rows(ROWS), TITLES, SETS)


BLOCKS: dict[str, Callable[[], str]] = {"graphs": graphs}
