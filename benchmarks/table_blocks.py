"""What `quote.py` says about tables, from the rows in ``results/``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from insphere.experiments.store.jsonl_rows import read_rows

ROWS = Path(__file__).parent / "results" / "tables.jsonl"
TITLES = {
    "table-svdd": "Deep SVDD for tables",
    "table-svdd-untrained": "the same, untrained",
    "knn": "kNN (fifth neighbour)",
    "isolation-forest": "isolation forest",
    "pyod-deep-svdd": "PyOD's DeepSVDD",
}
OURS = "table-svdd"

Row = dict[str, Any]


def tables() -> str:
    """Set the mean AUC of each method beside that of ours on the sets and seeds it has rows for."""
    rows = read_rows(ROWS)
    ours = {(row["set"], row["seed"]): row["auc"] for row in rows if row["method"] == OURS}
    lines = [
        "| method | sets | seeds | mean AUC, % | spread of seeds "
        "| Deep SVDD for tables on the same | median s | longest s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for method, title in TITLES.items():
        own = [row for row in rows if row["method"] == method]
        if not own:
            continue
        seeds = sorted({row["seed"] for row in own})
        means = [100 * np.mean([r["auc"] for r in own if r["seed"] == seed]) for seed in seeds]
        spread = f"{np.std(means, ddof=1):.2f}" if len(seeds) > 1 else "–"
        same = 100 * np.mean([ours[row["set"], row["seed"]] for row in own])
        seconds = [row["seconds"] for row in own]
        lines.append(
            f"| {title} | {len({row['set'] for row in own})} | {len(seeds)} | "
            f"{100 * np.mean([row['auc'] for row in own]):.1f} | {spread} | {same:.1f} | "
            f"{np.median(seconds):.1f} | {max(seconds):.0f} |"
        )
    return "\n".join(lines) + "\n"


def by_set() -> str:
    """Set the AUC of each set, mean over seeds, for Deep SVDD for tables and kNN."""
    rows = read_rows(ROWS)
    lines = ["| set | rows trained | columns | Deep SVDD for tables | kNN |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for name in sorted({row["set"] for row in rows}, key=lambda name: int(name.split("_")[0])):
        own = [row for row in rows if row["set"] == name]
        means = [
            100 * np.mean([row["auc"] for row in own if row["method"] == method])
            for method in (OURS, "knn")
        ]
        lines.append(
            f"| {name.partition('_')[2]} | {own[0]['n_train']:,} | {own[0]['columns']:,} | "
            f"{means[0]:.1f} | {means[1]:.1f} |"
        )
    return "\n".join(lines) + "\n"


BLOCKS: dict[str, Callable[[], str]] = {"tables": tables, "tables-by-set": by_set}
