"""What `quote.py` says about texts, from the rows in ``results/``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from insphere.experiments.store.jsonl_rows import read_rows

ROWS = Path(__file__).parent / "results" / "texts.jsonl"
SETS = {"smsspam": "SMS", "covid_fake": "news"}
TITLES = {
    "text-mahalanobis": "`text-mahalanobis`, the default",
    "text-knn": "`text-knn`",
    "text-svdd": "`text-svdd`",
    "text-surprise": "`text-surprise`: characters alone",
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
    rows = read_rows(ROWS)
    lines = [
        "| method | " + " | ".join(SETS.values()) + " | seeds |",
        "| --- | ---: | ---: | ---: |",
    ]
    for method, title in TITLES.items():
        found = {
            name: [row["auc"] for row in rows if (row["set"], row["method"]) == (name, method)]
            for name in SETS
        }
        cells = [
            f"{100 * np.mean(v):.1f} ± {100 * np.std(v, ddof=1):.1f}" if len(v) > 1 else "–"
            for v in found.values()
        ]
        seeds = min(map(len, found.values()))
        lines.append(f"| {title} | " + " | ".join(cells) + f" | {seeds} |")
    return "\n".join(lines) + "\n"


BLOCKS: dict[str, Callable[[], str]] = {"texts": texts}
