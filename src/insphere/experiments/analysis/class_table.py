"""The results of a benchmark as a table in the terminal; for a sweep see `sweep_table`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from insphere.experiments.runs.display_names import normal_title, run_names, settings_key

Published = Mapping[str, Mapping[str, float]]


def auc_by_class(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Collect AUCs in per cent: objective (or method), then class, then one value a seed.

    Rows of one objective that differ in other settings get separate columns with their names.
    """
    columns: dict[str, set[str]] = {}
    for row in rows:
        columns.setdefault(_column(row), set()).add(settings_key(row))
    names = run_names({**row, "run": settings_key(row)} for row in rows)
    collected: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        column = _column(row)
        if len(columns[column]) > 1:
            column = names[settings_key(row)]
        collected[column][normal_title(row["normal"])].append(100 * row["auc"])
    return collected


def class_table(rows: Sequence[Mapping[str, Any]], published: Published) -> Table:
    """Mean ± standard deviation of the AUC over seeds, class by class, beside published values.

    Parameters
    ----------
    rows : sequence of dict
        Finished runs on one dataset.
    published : dict
        Published AUCs in per cent, by column and class.
    """
    collected = auc_by_class(rows)
    table = Table(title="AUC in %, mean ± standard deviation over seeds")
    table.add_column("normal class")
    for column in collected:
        table.add_column(column, justify="right")
        if column in published:
            table.add_column("published", justify="right", style="dim")
    classes = list(dict.fromkeys(name for column in collected.values() for name in column))
    for name in classes:
        cells = [name]
        for column, by_class in collected.items():
            cells.append(_mean_and_spread(by_class.get(name, [])))
            if column in published:
                cells.append(f"{published[column].get(name, float('nan')):.1f}")
        table.add_row(*cells)
    means = ["mean"]
    for column, by_class in collected.items():
        means.append(f"[bold]{np.mean([np.mean(v) for v in by_class.values()]):.2f}")
        if column in published:
            means.append(f"{np.mean([published[column][n] for n in by_class]):.2f}")
    table.add_section()
    table.add_row(*means)
    return table


def _column(row: Mapping[str, Any]) -> str:
    return str(row["params"].get("objective", row["method"]))


def _mean_and_spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
