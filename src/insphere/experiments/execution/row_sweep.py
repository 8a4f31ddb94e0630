"""Runs many specs in parallel processes and appends a row for each to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from insphere.data.load import load_dataset
from insphere.experiments.runs.run import run
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.jsonl_rows import append_row, read_rows


def run_sweep(
    specs: Sequence[RunSpec],
    rows: Path,
    *,
    checkpoints: Path | None = None,
    jobs: int = 1,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
) -> list[dict[str, Any]]:
    """Run all specs whose row is not there yet.

    Specs with the same dataset, class and seed run one after the other in one process, so that
    they find each other's pretrained encoder among the checkpoints. Each process computes with
    one thread, so `jobs` processes use `jobs` cores.

    Parameters
    ----------
    specs : sequence of RunSpec
        What to run.
    rows : pathlib.Path
        File of finished runs.
    checkpoints : pathlib.Path, optional
        Folder of checkpoints; an interrupted run continues there.
    jobs : int
        Processes.
    report : callable
        Called with each new row.

    Returns
    -------
    list of dict
        The rows of `specs`, in their order.
    """
    done = {row["run"] for row in read_rows(rows)}
    groups = grouped(spec for spec in specs if spec.identity not in done)
    work = (delayed(_run_group)(group, rows, checkpoints) for group in groups)
    parallel = Parallel(
        n_jobs=jobs, backend="loky", inner_max_num_threads=1, return_as="generator_unordered"
    )
    for finished in parallel(work):
        for row in finished:
            report(row)
    by_identity = {row["run"]: row for row in read_rows(rows)}
    return [by_identity[spec.identity] for spec in specs]


def grouped(specs: Iterable[RunSpec]) -> list[list[RunSpec]]:
    """Put specs together that share images, preprocessing and the pretrained encoder."""
    groups: dict[tuple[Any, ...], list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault((spec.dataset, spec.normal, spec.seed), []).append(spec)
    return list(groups.values())


def _run_group(specs: list[RunSpec], rows: Path, checkpoints: Path | None) -> list[dict[str, Any]]:
    import torch

    torch.set_num_threads(1)
    finished = []
    for spec in specs:
        data = load_dataset(spec.dataset, progress=False)
        row = run(spec, data, checkpoints=checkpoints).row()
        append_row(rows, row)
        finished.append(row)
    return finished
