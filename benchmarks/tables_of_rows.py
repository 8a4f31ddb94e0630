"""Markdown tables from rows of results, for the pages that `quote.py` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def markdown(header: list[str], rows: list[list[str]], texts: int = 1) -> str:
    """Lay out a Markdown table whose first columns are texts and whose others are numbers."""
    rule = ["---"] * texts + ["---:"] * (len(header) - texts)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows]) + "\n"


def spread(values: list[float]) -> str:
    """Write a mean, with its standard deviation where there are several values."""
    if not values:
        return "–"
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.1f}"


def methods_by_set(
    rows: Sequence[Mapping[str, Any]], methods: Mapping[str, str], sets: Mapping[str, str]
) -> str:
    """Set out the AUC of each method on each set in percent, with the spread of the seeds.

    Parameters
    ----------
    rows : sequence of mapping
        Rows with ``set``, ``method`` and ``auc``.
    methods, sets : mapping of str to str
        Their titles by name, in the order of the table.
    """
    lines = []
    for method, title in methods.items():
        found = [
            [100 * row["auc"] for row in rows if (row["set"], row["method"]) == (name, method)]
            for name in sets
        ]
        counts = sorted({len(one) for one in found if one}) or [0]
        seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        lines.append([title, *map(spread, found), seeds])
    return markdown(["method", *sets.values(), "seeds"], lines)
