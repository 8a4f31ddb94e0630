"""The results of a sweep as a table.

AUC in per cent, mean ± standard deviation over seeds. The best of a line is bold. Published values
are shown beside the measured ones.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from insphere.experiments.analysis.published_results import (
    COLUMNS,
    Published,
    published_column,
    published_table,
)
from insphere.experiments.analysis.text_table import Column, Layout, Text
from insphere.experiments.runs.display_names import dataset_title
from insphere.experiments.runs.sweep_file import SweepRun
from insphere.safe_text import csv_row

MEAN = "mean"


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Parameters
    ----------
    mean : float or None
        Mean in per cent; None without a result.
    std : float or None
        Standard deviation (n − 1) over seeds; None for a single one.
    n : int
        Number of seeds.
    note : str
        Text to show instead of a mean.
    best : bool
        Whether it is the best of its line.
    """

    mean: float | None = None
    std: float | None = None
    n: int = 0
    note: str = "–"
    best: bool = False

    @property
    def text(self) -> str:
        """The number with one decimal, as the paper prints it."""
        if self.mean is None:
            return self.note
        return f"{self.mean:.1f}" if self.std is None else f"{self.mean:.1f} ± {self.std:.1f}"


@dataclass(frozen=True)
class SweepTable:
    """AUCs on one dataset, class by class.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    classes : list of str
        Normal classes in order.
    columns : dict
        AUCs in per cent by column, class and seed.
    published : dict
        Published values by column and class, for columns that have any.
    published_titles : dict
        Titles in the paper, by column.
    wanted, failed, missing : int
        Numbers of runs of the sweep on this data set, of failed ones, and of all without a result.
    """

    dataset: str
    classes: list[str]
    columns: dict[str, dict[str, dict[int, float]]]
    published: dict[str, dict[str, Published]] = field(default_factory=dict)
    published_titles: dict[str, str] = field(default_factory=dict)
    wanted: int = 0
    failed: int = 0
    missing: int = 0

    @property
    def note(self) -> str:
        """The completeness of the table, as a sentence."""
        if not self.missing:
            return f"All {self.wanted} runs are finished."
        failed = f", {self.failed} of them failed" if self.failed else ""
        return f"{self.missing} of {self.wanted} runs are missing{failed}."

    def lines(self) -> list[tuple[str, dict[str, Cell]]]:
        """Return a line for each class, and the last for the mean over classes."""
        lines = [(name, self._best(self._cells(name))) for name in self.classes]
        if len(self.classes) > 1:
            means = {column: self._mean(column) for column in self.columns}
            lines.append((MEAN, self._best(means)))
        return lines

    def reference(self, column: str, name: str) -> Published | None:
        """Return the published value for a column and a class, or for the mean over classes."""
        values = self.published.get(column, {})
        if name != MEAN:
            return values.get(name)
        if set(self.classes) <= set(values):
            selected = [values[name].mean for name in self.classes]
            return Published(float(np.mean(selected)), float("nan"))
        return None

    def _cells(self, name: str) -> dict[str, Cell]:
        return {
            column: _cell(list(by_class.get(name, {}).values()))
            for column, by_class in self.columns.items()
        }

    def _mean(self, column: str) -> Cell:
        by_class = self.columns[column]
        found = [by_class[name] for name in self.classes if by_class.get(name)]
        if len(found) < len(self.classes):
            return Cell(note=f"({len(found)} of {len(self.classes)})")
        whole = set.intersection(*(set(values) for values in found))
        over_seeds = [float(np.mean([values[seed] for values in found])) for seed in whole]
        mean = float(np.mean([np.mean(list(values.values())) for values in found]))
        return Cell(mean, _std(over_seeds), len(whole))

    @staticmethod
    def _best(cells: dict[str, Cell]) -> dict[str, Cell]:
        shown = {column: round(c.mean, 1) for column, c in cells.items() if c.mean is not None}
        if len(shown) < 2:
            return cells
        top = max(shown.values())
        return {
            column: Cell(c.mean, c.std, c.n, c.note, best=shown.get(column) == top)
            for column, c in cells.items()
        }


def sweep_tables(
    runs: Sequence[SweepRun], rows: Sequence[Mapping[str, Any]], failed: Sequence[str] = ()
) -> list[SweepTable]:
    """Arrange the results of a sweep, one table for each dataset.

    Parameters
    ----------
    runs : sequence of SweepRun
        All runs of the sweep.
    rows : sequence of dict
        Finished runs; those of other sweeps are ignored.
    failed : sequence of str
        Identities of failed runs.
    """
    aucs = {row["run"]: 100 * float(row["auc"]) for row in rows}
    tables = []
    for dataset in dict.fromkeys(run.spec.dataset for run in runs):
        own = [run for run in runs if run.spec.dataset == dataset]
        columns: dict[str, dict[str, dict[int, float]]] = {run.column: {} for run in own}
        references: dict[str, str] = {}
        for run in own:
            source = published_column(run.spec)
            if source is not None:
                references[run.column] = source
            if run.spec.identity in aucs:
                by_seed = columns[run.column].setdefault(run.normal, {})
                by_seed[run.spec.seed] = aucs[run.spec.identity]
        last = {source: column for column, source in references.items()}  # show each source once
        tables.append(
            SweepTable(
                dataset,
                list(dict.fromkeys(run.normal for run in own)),
                columns,
                {column: published_table(dataset)[source] for source, column in last.items()},
                {column: COLUMNS[source] for source, column in last.items()},
                wanted=len(own),
                failed=sum(run.spec.identity in failed for run in own),
                missing=sum(run.spec.identity not in aucs for run in own),
            )
        )
    return tables


def sweep_layout(table: SweepTable) -> Layout:
    """Return a table as texts, with the best of each line in bold."""
    columns = [Column("normal class", words=True)]
    for column in table.columns:
        columns.append(Column(column))
        if column in table.published:
            columns.append(Column(f"published: {table.published_titles[column]}", dim=True))
    classes: list[list[Text]] = []
    means: list[list[Text]] = []
    for name, cells in table.lines():
        line = [Text(name, bold=name == MEAN)]
        for column, cell in cells.items():
            line.append(Text(cell.text, cell.best))
            if column in table.published:
                source = table.reference(column, name)
                std = None if source is None or source.std != source.std else source.std
                line.append(Text("–" if source is None else Cell(source.mean, std).text))
        (means if name == MEAN else classes).append(line)
    what = "AUC in %, mean ± standard deviation over seeds"
    parts = [part for part in (classes, means) if part]
    return Layout(dataset_title(table.dataset), what, table.note, columns, parts)


def csv_table(tables: Sequence[SweepTable]) -> str:
    """Write all tables as one CSV, a line for each class and column."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["dataset", "normal", "method", "auc_mean", "auc_std", "seeds", "published_mean",
         "published_std"]
    )  # fmt: skip
    for table in tables:
        for name, cells in table.lines():
            for column, cell in cells.items():
                source = table.reference(column, name)
                numbers = [cell.mean, cell.std, cell.n, *(source or (None, None))]
                shown = ["" if v is None or v != v else v for v in numbers]
                writer.writerow(csv_row([table.dataset, name, column, *shown]))
    return file.getvalue()


def _cell(values: list[float]) -> Cell:
    return Cell(float(np.mean(values)), _std(values), len(values)) if values else Cell()


def _std(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
