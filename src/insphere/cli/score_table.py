"""Scores as a table in a file. The file is complete or not there."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def columns(scored: Scored, alarms: Flags | None = None) -> list[str]:
    """Return the names of the columns."""
    place = "index" if scored.data.paths is None else "path"
    names = [place, "score", "z_score", *(("verdict",) if scored.judged else ())]
    if scored.calibrated:
        names += ["p_value", "severity", "step"]
    if alarms is not None:
        names.append("alarm")
    if scored.has_classes:
        names.append("class")
    if scored.truth is not None:
        names.append("truth")
    return names


def rows(
    scored: Scored, index: Iterable[int] | None = None, alarms: Flags | None = None
) -> Iterator[dict[str, Any]]:
    """Yield one row for each scored image, or for those at `index`."""
    from insphere.scoring import severity_step

    names = columns(scored, alarms)
    z_scores, flagged = scored.z_scores, scored.flagged if scored.judged else None
    p_values = scored.p_values if scored.calibrated else None
    severities = scored.severities if scored.calibrated else None
    for row in range(len(scored)) if index is None else index:
        position = int(scored.index[row])
        values: list[Any] = [
            position if scored.data.paths is None else scored.data.paths[position],
            float(scored.scores[row]),
            float(z_scores[row]),
        ]
        if flagged is not None:
            values.append(_kind(flagged[row]))
        if p_values is not None and severities is not None:
            severity = float(severities[row])
            values += [float(p_values[row]), severity, severity_step(severity)]
        if alarms is not None:
            values.append(bool(alarms[row]))
        if scored.has_classes:
            values.append(scored.label(row))
        if scored.truth is not None:
            values.append(_kind(scored.truth[row]))
        yield dict(zip(names, values, strict=True))


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
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.DictWriter(file, columns(scored, alarms), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(csv_row, rows(scored, order, alarms)))


def _write_parquet(
    scored: Scored, path: Path, order: Sequence[int] | None, alarms: Flags | None
) -> None:
    arrow = require("pyarrow", "parquet", "Writing Parquet")
    parquet = require("pyarrow.parquet", "parquet", "Writing Parquet")
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


def _kind(anomalous: Any) -> str:
    return "anomalous" if anomalous else "normal"
