"""What `quote.py` says about graphs, from the rows in ``results/``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from insphere.experiments.store.jsonl_rows import read_rows

ROWS = Path(__file__).parent / "results" / "graphs.jsonl"
SETS = {"cora": "Cora", "citeseer": "Citeseer"}
TITLES = {
    "graph-knn": "`graph-knn`, the default",
    "graph-knn, 1 step": "`graph-knn`, 1 step",
    "graph-knn, 3 steps": "`graph-knn`, 3 steps",
    "graph-knn, 2 neighbours": "`graph-knn`, 2 neighbours",
    "ocgnn": "`ocgnn`",
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
    rows = read_rows(ROWS)
    lines = [
        "| method | " + " | ".join(SETS.values()) + " | seeds |",
        "| --- | ---: | ---: | ---: |",
    ]
    for method, title in TITLES.items():
        found = {
            name: [100 * r["auc"] for r in rows if (r["set"], r["method"]) == (name, method)]
            for name in SETS
        }
        cells = [_cell(values) for values in found.values()]
        lines.append(f"| {title} | " + " | ".join(cells) + f" | {min(map(len, found.values()))} |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.1f}" if values else "–"
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


BLOCKS: dict[str, Callable[[], str]] = {"graphs": graphs}
