"""Scores as a table in a file. The file is complete or not there."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from insphere.atomic import atomic_path, refusals
from insphere.errors import SpecError, require
from insphere.safe_text import csv_row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from insphere.workflows.score_source import Scored

    Flags = NDArray[np.bool_]

SUFFIXES = (".csv", ".parquet")
_ROW_GROUP = 65_536


def check_table(path: str) -> None:
    """Check the name of the file before images are scored.

    Raises
    ------
    SpecError
        If the name ends in neither .csv nor .parquet, or is that of a folder.
    MissingExtraError
        If the name ends in .parquet and pyarrow is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise SpecError(
            f"Name a file ending in {' or '.join(SUFFIXES)} for the scores, not {path}."
        )
    if Path(path).is_dir():
        raise SpecError(f"{path} is a folder; name a file for the scores.")
    if suffix == ".parquet":
        require("pyarrow.parquet", "parquet", "Writing Parquet")


def write_table(
    scored: Scored,
    path: Path,
    order: Sequence[int] | None = None,
    alarms: Flags | None = None,
) -> None:
    """Write the scores as CSV or Parquet, by the suffix. An existing file is replaced.

    Parameters
    ----------
    scored : Scored
        Images and scores.
    path : Path
        The file.
    order : sequence of int, optional
        The order in which rows are written; by default that of the source.
    alarms : ndarray of bool, shape (N,), optional
        Adds the column ``alarm``.

    Raises
    ------
    InsphereError
        If the file cannot be written.
    """
    write = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
    with refusals("The scores", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            write(scored, partial, order, alarms)


def _write_csv(
    scored: Scored, path: Path, order: Sequence[int] | None, alarms: Flags | None
) -> None:
    from insphere.workflows.score_rows import columns, rows

    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.DictWriter(file, columns(scored, alarms), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(csv_row, rows(scored, order, alarms)))


def _write_parquet(
    scored: Scored, path: Path, order: Sequence[int] | None, alarms: Flags | None
) -> None:
    arrow = require("pyarrow", "parquet", "Writing Parquet")
    parquet = require("pyarrow.parquet", "parquet", "Writing Parquet")
    from insphere.workflows.score_rows import rows

    writer = None
    order = range(len(scored)) if order is None else order
    try:
        for start in range(0, len(scored), _ROW_GROUP):
            part = list(rows(scored, order[start : start + _ROW_GROUP], alarms))
            for row in part:
                if "path" in row:  # Parquet stores only names in UTF-8
                    row["path"] = row["path"].encode("utf-8", "replace").decode()
            table = arrow.Table.from_pylist(part)
            if writer is None:
                writer = parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
