"""Scoring a shard: a part of many images, read, scored batch by batch, and written as one file.

Folders and files may be anywhere that fsspec reaches. A shard is a row of plain values, so that any
engine can hand it to any process. Its output appears whole or not at all, under a name that says
which shard of which model it is: what was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from insphere.data.files import IMAGE_SUFFIXES
from insphere.errors import DataError, require
from insphere.runtime.reading import read_image, stacked
from insphere.runtime.scorer import Scorer, Scores
from insphere.runtime.tables import COLUMNS, scores_as_columns, scores_of_rows
from insphere.safe_text import reason

IMAGES_EACH = 4096
NAME, ERROR = "name", "error"


@dataclass(frozen=True)
class Shard:
    """A part of a source.

    Parameters
    ----------
    source : str
        Folder or Parquet file, as fsspec takes it.
    kind : {"files", "parquet"}
        What it is a part of.
    names : tuple of str
        Image files within the folder.
    group : int
        Row group of the Parquet file.
    rows : int
        Number of samples.
    stamp : str
        Changes when the content does.
    """

    source: str
    kind: str
    names: tuple[str, ...]
    group: int
    rows: int
    stamp: str

    def key(self, salt: str) -> str:
        """Return a name that changes with the shard, and with `salt`."""
        said = json.dumps([asdict(self), salt], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:20]

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Shard:
        """Read what `text` returned."""
        given = json.loads(text)
        return cls(**{**given, "names": tuple(given["names"])})


def opened(url: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path within it.

    Raises
    ------
    MissingExtraError
        If a package that it needs is missing.
    DataError
        If there is no such kind of address.
    """
    fsspec: Any = require("fsspec", "ray", "Scoring many images")
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise DataError(f"{url} cannot be opened: {reason(error)}.") from error
    return found


def list_shards(source: str, *, images_each: int = IMAGES_EACH) -> list[Shard]:
    """Divide a source into shards.

    Parameters
    ----------
    source : str
        A folder of images or of Parquet files, or one Parquet file; a path or an address that
        fsspec takes.
    images_each : int, default=4096
        Image files of a shard. Of Parquet files, each row group is one.

    Raises
    ------
    DataError
        If there is nothing to score.
    """
    files, path = opened(source)
    try:
        found = files.find(path, detail=True)
    except OSError as error:
        raise DataError(f"{source} cannot be listed: {reason(error)}.") from error
    if not found and files.exists(path):
        found = {path: files.info(path)}
    found = {name: about for name, about in sorted(found.items()) if not _is_hidden(name, path)}
    tables = [name for name in found if name.lower().endswith((".parquet", ".pq"))]
    images = [name for name in found if name.lower().endswith(IMAGE_SUFFIXES)]
    if tables and images:
        raise DataError(f"{source} holds images and Parquet files: score them one by one.")
    if not tables and not images:
        raise DataError(f"There are no images and no Parquet files in {source}.")
    if tables:
        return [one for name in tables for one in _row_groups(files, name, found[name])]
    parts = [images[start : start + images_each] for start in range(0, len(images), images_each)]
    return [
        Shard(
            files.unstrip_protocol(path), "files",
            tuple(_below(name, path) for name in part), 0, len(part),
            _stamp([found[name] for name in part]),
        )
        for part in parts
    ]  # fmt: skip


def score_shard(
    shard: Shard, scorer: Scorer, out: str, key: str, *, column: str = "image"
) -> dict[str, Any]:
    """Score a shard and write ``OUT/part-KEY.parquet``.

    A sample that cannot be read gets no score, and a sentence in the column ``error``.

    Parameters
    ----------
    shard : Shard
        What to score.
    scorer : Scorer
        The model.
    out : str
        Folder for the scores, as fsspec takes it.
    key : str
        As `Shard.key` returns it.
    column : str, default="image"
        Of a Parquet file, where the bytes of the images are.

    Returns
    -------
    dict
        ``rows``, ``errors`` and ``anomalous`` of the shard.
    """
    parquet = require("pyarrow.parquet", "parquet", "Scoring many images")
    arrow = require("pyarrow", "parquet", "Scoring many images")
    files, folder = opened(out)
    name, unfinished = f"{folder}/{part_name(key)}", f"{folder}/.{key}.unfinished"
    rows = errors = anomalous = 0
    writer = None
    with files.open(unfinished, "wb") as stream:
        for table in _scored_batches(shard, scorer, column):
            rows += len(table)
            errors += int((table[ERROR] != "").sum())
            anomalous += int((table["verdict"] == "anomalous").sum())
            batch = arrow.Table.from_pandas(
                table, schema=None if writer is None else writer.schema, preserve_index=False
            )
            if writer is None:
                writer = parquet.ParquetWriter(stream, batch.schema, compression="zstd")
            writer.write_table(batch)
        if writer is not None:
            writer.close()
    files.mv(unfinished, name)
    return {"rows": rows, "errors": errors, "anomalous": anomalous}


def part_name(key: str) -> str:
    """Return the name of the file of a shard."""
    return f"part-{key}.parquet"


def _scored_batches(shard: Shard, scorer: Scorer, column: str) -> Iterator[Any]:
    pandas: Any = require("pandas", "parquet", "Scoring many images")
    if shard.kind == "files":
        files, folder = opened(shard.source)
        for start in range(0, shard.rows, scorer.batch):
            names = shard.names[start : start + scorer.batch]
            contents = [_content(files, f"{folder}/{name}") for name in names]
            yield _with_scores(pandas.DataFrame({NAME: names}), contents, scorer)
        return
    parquet = require("pyarrow.parquet", "parquet", "Scoring many images")
    files, path = opened(shard.source)
    with files.open(path, "rb") as stream, parquet.ParquetFile(stream) as file:
        for batch in file.iter_batches(scorer.batch, row_groups=[shard.group]):
            table = batch.to_pandas()
            if scorer.description.kind != "images":
                found = scores_of_rows(table, scorer)
                yield table.assign(**{**found, ERROR: ""})
                continue
            if column not in table.columns:
                raise DataError(
                    f"{shard.source} has no column {column!r}: name it with --image-column."
                )
            contents = [_bytes_of(value) for value in table[column]]
            yield _with_scores(table.drop(columns=[column]), contents, scorer)


def _with_scores(table: Any, contents: list[bytes | None], scorer: Scorer) -> Any:
    """Return a table with the scores of images; what cannot be read gets a sentence."""
    said = np.full(len(table), "", object)
    images, places = [], []
    for place, content in enumerate(contents):
        try:
            if content is None:
                raise DataError("There is no content that can be read.")
            image = read_image(content, scorer.description)
            images.append(scorer.checked(image[None])[0])
            places.append(place)
        except DataError as error:
            said[place] = str(error)
    columns: dict[str, Any] = {
        name: np.full(len(table), "", object) if kind == "str" else np.full(len(table), np.nan)
        for name, kind in COLUMNS.items()
    }
    if images:
        found: Scores = scorer.run(stacked(images, scorer.description))
        for name, values in scores_as_columns(found).items():
            columns[name][places] = values
    return table.assign(**columns, **{ERROR: said})


def _content(files: Any, path: str) -> bytes | None:
    try:
        content: bytes = files.cat_file(path)
    except OSError:
        return None
    return content


def _bytes_of(value: Any) -> bytes | None:
    """Return the bytes of an image, also of the {"bytes", "path"} form of the datasets library."""
    if isinstance(value, Mapping):
        value = value.get("bytes")
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else None


def _row_groups(files: Any, path: str, about: Mapping[str, Any]) -> list[Shard]:
    parquet = require("pyarrow.parquet", "parquet", "Scoring many images")
    try:
        with files.open(path, "rb") as stream:
            found = parquet.ParquetFile(stream).metadata
            rows = [found.row_group(group).num_rows for group in range(found.num_row_groups)]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no Parquet file, or a damaged one.") from error
    whole = Shard(files.unstrip_protocol(path), "parquet", (), 0, 0, _stamp([about]))
    return [replace(whole, group=group, rows=count) for group, count in enumerate(rows) if count]


def _stamp(found: list[Mapping[str, Any]]) -> str:
    said = [[one.get("size"), str(one.get("ETag") or one.get("mtime") or "")] for one in found]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _below(name: str, folder: str) -> str:
    return name[len(folder) :].lstrip("/") if name != folder else name.rpartition("/")[2]


def _is_hidden(name: str, folder: str) -> bool:
    return any(part.startswith(".") for part in _below(name, folder).split("/"))
