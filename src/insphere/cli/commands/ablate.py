"""``insphere ablate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import Json, Quiet
from insphere.cli.sweep_display import (
    Backend,
    Jobs,
    RetryFailed,
    counts_of,
    in_words,
    run_planned,
    say_failures,
)
from insphere.cli.table_output import TableFormat, check_format, print_layouts
from insphere.errors import SpecError

if TYPE_CHECKING:
    from insphere.experiments.analysis.ablation_results import Findings
    from insphere.experiments.execution.sweep_progress import SweepProgress

Datasets = Annotated[
    list[str] | None,
    typer.Argument(help="Names or paths.", metavar="DATASET", show_default=False),
]
OptionNames = Annotated[
    str | None,
    typer.Option(
        "--options",
        help="Which options, as in attention,zca (default: all that are safe and not slow).",
        metavar="NAMES",
        show_default=False,
    ),
]
Groups = Annotated[
    bool, typer.Option("--groups/--no-groups", help="Measure the options of a group together, too.")
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--normal",
        help="Normal classes, one after the other, as in cat,ship (default: all).",
        metavar="CLASSES",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Add new rows to this file; what it has already is not run again.",
        metavar="ROWS.jsonl",
        show_default=False,
    ),
]
From = Annotated[
    list[Path] | None,
    typer.Option(
        "--from",
        help="Only print what the rows in this file say; may be repeated.",
        metavar="ROWS.jsonl",
        show_default=False,
    ),
]


def ablate(
    datasets: Datasets = None,
    options: OptionNames = None,
    groups: Groups = True,
    normal: Classes = None,
    seeds: Annotated[int, typer.Option(help="How many seeds: 0, 1, …", min=1)] = 1,
    recipe: Annotated[str, typer.Option(help="fast or paper.", metavar="NAME")] = "fast",
    jobs: Jobs = None,
    backend: Backend = "loky",
    store: Annotated[
        Path, typer.Option("--store", help="SQLite file of the results.", metavar="FILE")
    ] = Path("runs.sqlite"),
    out: Out = None,
    only_table: Annotated[
        bool, typer.Option("--table", help="Run nothing, print what is there.", show_default=False)
    ] = False,
    files: From = None,
    form: TableFormat = "terminal",
    retry_failed: RetryFailed = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure what each processing option changes, alone and together.

    Runs what is missing, and compares it with the baseline, paired by class and seed. Started
    again, it continues.
    """
    from insphere.experiments.analysis.ablation_results import cells_of, find
    from insphere.experiments.analysis.ablation_study import study_arms, study_sweep
    from insphere.experiments.execution.sweep_progress import look
    from insphere.experiments.store.jsonl_rows import merge_rows, read_rows
    from insphere.experiments.store.run_store import Store

    check_format(form)
    names = None if options is None else [name.strip() for name in options.split(",")]
    if files:
        found = _of_files(files, datasets or (), names, groups, recipe)
        _print(found, form, as_json)
        return
    if not datasets:
        raise SpecError("Name a dataset, as in insphere ablate mnist.")
    arms = study_arms(names, groups=groups)
    study = study_sweep(datasets, arms, normal=normal or (), seeds=seeds, recipe=recipe)
    planned = study.runs()
    results = Store(store, create=not only_table)
    if out is not None and out.is_file():
        results.import_rows(read_rows(out))
    if only_table:
        progress = look(results, planned)
    else:
        progress = run_planned(
            study.name,
            planned,
            results,
            jobs=jobs,
            backend=backend,
            retry_failed=retry_failed,
            quiet=quiet,
        )
    rows = results.rows(one.spec.identity for one in planned)
    if out is not None:
        new = merge_rows(out, rows)
        if not quiet:
            console.note(f"{len(rows)} runs are in {console.shown(out)}, {new} of them new.")
    found = find(rows, arms, recipe=recipe, cells=cells_of(planned))
    if as_json or not quiet:
        _print(found, form, as_json, progress)
    if progress.counts["failed"] and not only_table:
        raise typer.Exit(1)


def _of_files(
    files: list[Path], datasets: Any, names: list[str] | None, groups: bool, recipe: str
) -> list[Findings]:
    from insphere.errors import DataError
    from insphere.experiments.analysis.ablation_results import arms_in, find
    from insphere.experiments.analysis.ablation_study import study_arms
    from insphere.experiments.store.jsonl_rows import read_rows

    rows = []
    for file in files:
        if not file.is_file():
            raise DataError(f"There is no file {file}.")
        rows += read_rows(file)
    arms = arms_in(rows, recipe=recipe, groups=groups)
    if names is not None:
        arms = study_arms(names, groups=groups)
    found = find(rows, arms, recipe=recipe)
    for name in datasets:
        if name not in [one.dataset for one in found]:
            raise DataError(f"There are no runs of the {recipe} recipe on {name} in these files.")
    found = [one for one in found if not datasets or one.dataset in datasets]
    if not found:
        raise DataError(f"There are no runs of this study with the {recipe} recipe in these files.")
    return found


def _print(
    found: list[Findings], form: str, as_json: bool, progress: SweepProgress | None = None
) -> None:
    from insphere.experiments.analysis.ablation_summary import in_words as what_helps
    from insphere.experiments.analysis.ablation_table import csv_table, layouts
    from insphere.experiments.runs.display_names import dataset_title

    if as_json:
        counts = {} if progress is None else counts_of(progress)
        console.print_json({"name": "ablation", **counts, "findings": [f.values() for f in found]})
    elif form == "csv":
        console.out.file.write(csv_table(found))
    else:
        for one in found:
            print_layouts(layouts(one), form)
            if form == "terminal":
                console.explain(f"{dataset_title(one.dataset)}: {what_helps(one)}\n")
        if progress is not None and form == "terminal":
            console.say(f"{in_words(progress)}.")
            say_failures(progress)
