"""Table 1 of the paper for the docs, from the runs of sweeps in ``results/``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from insphere.experiments.analysis.published_results import published_column, published_table
from insphere.experiments.analysis.sweep_table import (
    MEAN,
    Cell,
    SweepTable,
    sweep_layout,
    sweep_tables,
)
from insphere.experiments.analysis.text_table import Column, Layout, Text, markdown_grid
from insphere.experiments.runs.sweep_file import read_sweep
from insphere.experiments.store.jsonl_rows import read_rows

HERE = Path(__file__).parent
SUITES = ("fast", "controls", "table1")
"""Files of rows that can contain a run of the sweep."""
FURTHER = {
    "mnist": ("anogan",),
    "cifar10": ("longer", "horse", "pretraining", "dcae", "anogan-seeds", "anogan"),
}
"""Further sweeps, where a method is below its published AUC."""


def measured(dataset: str, suites: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows of some suites of a dataset."""
    files = [HERE / "results" / f"{dataset}-{suite}.jsonl" for suite in suites]
    return [row for path in files for row in read_rows(path)]


def table(dataset: str) -> SweepTable:
    """Return what was measured of the sweep on one dataset."""
    rows = measured(dataset, SUITES)
    runs = read_sweep(HERE.parent / "sweeps" / f"{dataset}-table1.yaml").runs()
    return sweep_tables(runs, rows)[0]


def means(dataset: str) -> str:
    """Lay out the mean over classes of each method, and the published one."""
    found = table(dataset)
    columns = [
        Column("mean AUC over ten classes, %", words=True),
        Column("seeds"),
        Column("measured"),
        Column("published"),
        Column("difference"),
    ]
    lines = []
    for column, cell in dict(found.lines())[MEAN].items():
        published = found.reference(column, MEAN)
        shown = ["–", "–"]
        if published is not None:
            shown[0] = f"{published.mean:.1f}"
            if cell.mean is not None:
                shown[1] = f"{cell.mean - published.mean:+.1f}".replace("-", "−")
        texts = [column, str(cell.n or "–"), cell.text, *shown]
        lines.append(
            [Text(text, bold=cell.best and place == 2) for place, text in enumerate(texts)]
        )
    return f"{markdown_grid(Layout('', '', '', columns, [lines]))}\n{found.note}\n"


def classes(dataset: str) -> str:
    """Lay out every class with its published AUC."""
    return markdown_grid(sweep_layout(table(dataset)))


def further(dataset: str) -> str:
    """Lay out what was tried where a method is below its published AUC, as far as it was run."""
    rows = measured(dataset, (*SUITES, "closer"))
    published = published_table(dataset)
    lines = []
    for name in FURTHER[dataset]:
        runs = read_sweep(HERE.parent / "sweeps" / f"{dataset}-{name}.yaml").runs()
        sources = {run.column: published_column(run.spec) for run in runs}
        for normal, cells in sweep_tables(runs, rows)[0].lines():
            for column, cell in cells.items():
                source = sources[column]
                if normal != MEAN and cell.n and source is not None:
                    beside = Cell(*published[source][normal]).text
                    lines.append([Text(text) for text in (normal, column, cell.text, beside)])
    lines = [line for place, line in enumerate(lines) if line not in lines[:place]]
    columns = [Column("normal class", words=True), Column("training", words=True)]
    columns += [Column("AUC, %"), Column("published")]
    return markdown_grid(Layout("", "", "", columns, [lines]))


BLOCKS: dict[str, Callable[[], str]] = {
    f"table1-{dataset}{suffix}": partial(block, dataset)
    for dataset in ("mnist", "cifar10")
    for suffix, block in (("", means), ("-closer", further), ("-classes", classes))
}
