"""Many images: shards are scored by actors of Ray, or by processes that load the model once.

An engine gets the list of shards alone; each actor reads its shard from the store, and writes its
scores there. So no image passes through the engine, memory does not grow with their number, and a
shard that is written need not be scored again.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insphere.data.progress import Progress
from insphere.errors import SpecError, require
from insphere.resources import usable_cores
from insphere.runtime.scorer import Scorer
from insphere.runtime.shards import Shard, list_shards, opened, part_name, score_shard

BACKENDS = ("ray", "processes")
MOST_BLOCKS = 1000


@dataclass(frozen=True)
class Bulk:
    """What was scored.

    Parameters
    ----------
    out : str
        Folder of the scores.
    rows, errors, anomalous : int
        Scored now: samples, those that could not be read, and those beyond the threshold.
    done_before : int
        Samples whose scores were there already.
    seconds : float
        Time that it took.
    """

    out: str
    rows: int
    errors: int
    anomalous: int
    done_before: int
    seconds: float


def score_many(
    model: str | os.PathLike[str],
    source: str,
    out: str,
    *,
    backend: str = "ray",
    workers: int | None = None,
    column: str = "image",
    progress: bool | None = None,
) -> Bulk:
    """Score a folder of images, or Parquet files with the bytes of images, to Parquet files.

    Parameters
    ----------
    model : path
        A file that ``insphere export`` wrote, or a model folder, which is exported first.
    source : str
        A folder of images or Parquet files, or one Parquet file; a path or an address that fsspec
        takes, such as ``s3://bucket/photos``.
    out : str
        Folder for the scores, likewise. What is there of the same source and model is kept.
    backend : {"ray", "processes"}, default="ray"
        Who runs the workers: Ray on this computer or, with RAY_ADDRESS, on its cluster; or
        processes on this computer.
    workers : int, optional
        At a time; by default one for each core.
    column : str, default="image"
        Of Parquet files, where the bytes of the images are.
    progress : bool, optional
        Whether to show a bar; by default if stderr is a terminal.

    Raises
    ------
    SpecError
        If `out` holds scores of another source or model.
    DataError
        If there is nothing to score.
    MissingExtraError
        If a package is missing.
    """
    if backend not in BACKENDS:
        raise SpecError(f"--backend is one of {', '.join(BACKENDS)}, but got {backend}.")
    if workers is not None and workers < 1:
        raise SpecError(f"workers is a whole number from 1 upwards, but got {workers}.")
    if backend == "ray":
        require("ray", "ray", "--backend ray")
    began = time.perf_counter()
    content = _exported(Path(model))
    scorer = Scorer(content, threads=1)
    said = scorer.description
    salt = f"{said.model_sha256} {said.variant} {column}"
    shards = {shard.key(salt): shard for shard in list_shards(source)}
    files, folder = opened(out)
    files.makedirs(folder, exist_ok=True)
    there = {Path(name).name for name in files.glob(f"{folder}/part-*.parquet")}
    if strangers := sorted(there - {part_name(key) for key in shards}):
        raise SpecError(
            f"{out} holds scores of another source or model ({strangers[0]}): choose another "
            "folder."
        )
    left = {key: shard for key, shard in shards.items() if part_name(key) not in there}
    done = sum(shard.rows for shard in shards.values()) - sum(one.rows for one in left.values())
    rows = errors = anomalous = 0
    work = _by_ray if backend == "ray" else _by_processes
    bar = Progress("scoring", done + sum(one.rows for one in left.values()), show=progress)
    with bar:
        bar.advance(done)
        for found in work(left, content, files.unstrip_protocol(folder), column, workers):
            rows, errors = rows + found["rows"], errors + found["errors"]
            anomalous += found["anomalous"]
            bar.advance(found["rows"])
    return Bulk(out, rows, errors, anomalous, done, time.perf_counter() - began)


def _exported(model: Path) -> bytes:
    """Return an exported model; a folder is exported, which compares it with the library."""
    if not model.is_dir():
        return model.read_bytes() if model.is_file() else _of_folder(model)
    return _of_folder(model)


def _of_folder(model: Path) -> bytes:
    import tempfile

    from insphere.export.graph import export_onnx

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        export_onnx(model, target, maps=False)
        return target.read_bytes()


def _by_processes(
    shards: dict[str, Shard], content: bytes, out: str, column: str, workers: int | None
) -> Iterator[dict[str, Any]]:
    count = max(1, min(workers or usable_cores(), len(shards)))
    pool = ProcessPoolExecutor(
        count, multiprocessing.get_context("spawn"), _open_in_process, (content,)
    )
    with pool:
        tasks = [
            pool.submit(_score_in_process, shard.text(), out, key, column)
            for key, shard in shards.items()
        ]
        try:
            for task in as_completed(tasks):
                yield task.result()
        finally:
            for task in tasks:
                task.cancel()


_scorer: Scorer | None = None


def _open_in_process(content: bytes) -> None:
    global _scorer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _scorer = Scorer(content, threads=1)


def _end_with_parent() -> None:
    """End this process when the one that started it was killed; else it would wait forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _score_in_process(shard: str, out: str, key: str, column: str) -> dict[str, Any]:
    assert _scorer is not None
    return score_shard(Shard.of(shard), _scorer, out, key, column=column)


def _by_ray(
    shards: dict[str, Shard], content: bytes, out: str, column: str, workers: int | None
) -> Iterator[dict[str, Any]]:
    ray: Any = require("ray", "ray", "--backend ray")
    require("ray.data", "ray", "--backend ray")
    if not shards:
        return
    own = not ray.is_initialized()
    if own:
        cluster = os.environ.get("RAY_ADDRESS")
        here: dict[str, Any] = {} if cluster else {"num_cpus": workers or usable_cores()}
        ray.init(**here, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # ours counts images, not shards
        for handler in logging.getLogger("ray.data").handlers:
            if handler.level:  # that of the terminal; Ray's files of logs keep everything
                handler.setLevel(logging.ERROR)
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        count = max(1, min(count, len(shards)))
        rows = [{"key": key, "shard": shard.text()} for key, shard in shards.items()]
        found = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS))
        found = found.map_batches(
            _ShardScorer,
            fn_constructor_kwargs={"content": ray.put(content), "out": out, "column": column},
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=1,
        )
        yield from found.iter_rows()
    finally:
        if own:
            ray.shutdown()


class _ShardScorer:
    """An actor that scores one shard after the other.

    Parameters
    ----------
    content : ObjectRef or bytes
        The exported model.
    out, column : str
        See `score_shard`.
    """

    def __init__(self, content: Any, out: str, column: str) -> None:
        if not isinstance(content, bytes):
            import ray

            content = ray.get(content)
        self.scorer, self.out, self.column = Scorer(content, threads=1), out, column

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Score the shards of a batch; returns what was found, a row each."""
        found = [
            score_shard(Shard.of(str(shard)), self.scorer, self.out, str(key), column=self.column)
            for key, shard in zip(batch["key"], batch["shard"], strict=True)
        ]
        return {name: [one[name] for one in found] for name in found[0]}
