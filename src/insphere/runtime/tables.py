"""A table in, a table out: the same function for Dask, Spark and any other engine of tables.

The function is pure: it depends on its arguments alone, and opens a model once in each process.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from insphere.errors import DataError, require
from insphere.runtime.reading import read_image, stacked
from insphere.runtime.scorer import Scorer, Scores, joined

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = {
    "score": "float64",
    "verdict": "str",
    "p_value": "float64",
    "severity": "float64",
    "z_score": "float64",
}
"""The columns that are added, and their types in pandas."""


@lru_cache(maxsize=8)
def _opened(model: str, stamp: tuple[int, int], threads: int) -> Scorer:
    return Scorer(model, threads=threads)


def score_batch(
    table: DataFrame, model: str | os.PathLike[str], *, column: str = "image", threads: int = 1
) -> DataFrame:
    """Score the rows of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        For a model of images, `column` holds the bytes of image files. For a model of tables, the
        columns of the training table, by name if these had names, else all numeric ones. Texts
        and missing values are read as in training.
    model : path
        The exported model.
    column : str, default="image"
        Where the images are.
    threads : int, default=1
        Threads for one batch; engines of tables run one process for each core.

    Returns
    -------
    pandas.DataFrame
        The table without the images, with the columns of `COLUMNS`. What the model does not have is
        NaN, or an empty verdict. The index stays.

    Raises
    ------
    DataError
        If a row does not fit the model.
    """
    require("pandas", "runtime", "Scoring tables")
    found = Path(model).stat()
    scorer = _opened(os.fspath(model), (found.st_mtime_ns, found.st_size), threads)
    images = scorer.description.kind == "images"
    rest = table.drop(columns=[column], errors="ignore") if images else table.copy()
    if not len(table):
        return rest.assign(**{name: np.empty(0, kind) for name, kind in _empty().items()})
    scores = _of_images(table, scorer, column) if images else _of_rows(table, scorer)
    return rest.assign(**scores_as_columns(scores))


def scores_as_columns(scores: Scores) -> dict[str, Any]:
    """Return the columns of `COLUMNS`; what the model does not have is NaN, or an empty verdict."""
    nothing = np.full(len(scores), np.nan)
    verdicts = (
        np.full(len(scores), "", object)
        if scores.verdicts is None
        else np.where(scores.verdicts, "anomalous", "normal").astype(object)
    )
    return {
        "score": scores.scores,
        "verdict": verdicts,
        "p_value": nothing if scores.p_values is None else scores.p_values,
        "severity": nothing if scores.severities is None else scores.severities,
        "z_score": scores.z_scores,
    }


def scores_of_rows(table: DataFrame, scorer: Scorer) -> dict[str, Any]:
    """Return the scores of the rows of a table, as columns."""
    return scores_as_columns(_of_rows(table, scorer))


def _empty() -> dict[str, Any]:
    return {name: object if kind == "str" else kind for name, kind in COLUMNS.items()}


def _of_images(table: DataFrame, scorer: Scorer, column: str) -> Scores:
    if column not in table.columns:
        raise DataError(f"The table has no column {column!r} with the bytes of images.")
    parts, model = [], scorer.description
    contents = table[column].tolist()
    for start in range(0, len(contents), scorer.batch):
        read = []
        for place, content in enumerate(contents[start : start + scorer.batch], start):
            if not isinstance(content, bytes | bytearray | memoryview):
                raise DataError(f"Row {place} of the column {column!r} holds no bytes.")
            read.append(read_image(bytes(content), model, f"the image in row {place}"))
        parts.append(scorer.run(scorer.checked(stacked(read, model))))
    return joined(parts)


def _of_rows(table: DataFrame, scorer: Scorer) -> Scores:
    names = scorer.description.columns
    if names is None:  # without a schema
        return scorer.score(table.select_dtypes("number").to_numpy(np.float64))
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise DataError(f"The table has no column {missing[0]!r}, which the model was trained on.")
    return scorer.score(table[names])
