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
    from insphere.experiments.analysis.ablation_results import AblationResults
    from insphere.experiments.execution.sweep_progress import SweepProgress

Datasets = Annotated[
    list[str] | None,
    typer.Argument(help="Names of data sets, or paths.", metavar="DATASET", show_default=False),
]
OptionNames = Annotated[
    str | None,
    typer.Option(
        "--options",
        help="Processing options to measure, such as attention,zca (default: all that cannot "
        "make the sphere collapse and are not slow).",
        metavar="NAMES",
        show_default=False,
    ),
]
Groups = Annotated[
    bool,
    typer.Option(
        "--groups/--no-groups", help="Also measure all options of one group together, or not."
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--normal",
        help="Normal classes, each in runs of its own, such as cat,ship (default: all).",
        metavar="CLASSES",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Add each result to this file when its run ends. Runs that are in it already are not "
        "repeated.",
        metavar="ROWS.jsonl",
        show_default=False,
    ),
]
From = Annotated[
    list[Path] | None,
    typer.Option(
        "--from",
        help="Run nothing, and print the results in this file. Repeat it for several files.",
        metavar="ROWS.jsonl",
        show_default=False,
    ),
]


def ablate(
    datasets: Datasets = None,
    options: OptionNames = None,
    groups: Groups = True,
    normal: Classes = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds: 0, 1, …", min=1)] = 1,
    recipe: Annotated[
        str, typer.Option(help="Recipe of the training: fast or paper.", metavar="NAME")
    ] = "fast",
    jobs: Jobs = None,
    backend: Backend = "loky",
    store: Annotated[
        Path, typer.Option("--store", help="SQLite file in which runs are kept.", metavar="FILE")
    ] = Path("runs.sqlite"),
    out: Out = None,
    only_table: Annotated[
        bool,
        typer.Option(
            "--table", help="Run nothing, and print the results so far.", show_default=False
        ),
    ] = False,
    files: From = None,
    form: TableFormat = "terminal",
    retry_failed: RetryFailed = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how much each processing option changes the AUC, alone and together.

    A processing option is a change to the network or its input, such as attention or whitening.
    Each option is compared with the baseline, plain Deep SVDD, in pairs of the same class and
    seed. Run the same command again to continue after an interruption.

    For example:

        insphere ablate mnist --seeds 3
        insphere ablate cifar10 --options attention,zca --normal cat,ship --out rows.jsonl
    """
    from insphere.experiments.analysis.ablation_results import cells_of, find
    from insphere.experiments.analysis.ablation_study import study_arms, study_sweep
    from insphere.experiments.execution.sweep_progress import look
    from insphere.experiments.store.jsonl_rows import append_new, read_rows
    from insphere.experiments.store.run_store import Store

    check_format(form)
    names = None if options is None else [name.strip() for name in options.split(",")]
    if files:
        found = _of_files(files, datasets or (), names, groups, recipe)
        _print(found, form, as_json)
        return
    if not datasets:
        raise SpecError("Name a data set, such as insphere ablate mnist.")
    arms = study_arms(names, groups=groups)
    study = study_sweep(datasets, arms, normal=normal or (), seeds=seeds, recipe=recipe)
    planned = study.runs()
    results = Store(store, create=not only_table)
    before = 0
    if out is not None:
        kept = read_rows(out)
        before = len(kept)
        results.import_rows(kept)
        append_new(out, results.rows(one.spec.identity for one in planned))
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
            rows=out,
            quiet=quiet,
        )
    rows = results.rows(one.spec.identity for one in planned)
    if out is not None and not quiet:
        new = len(read_rows(out)) - before
        console.note(f"{console.shown(out)} holds {before + new} runs; {new} are new.")
    found = find(rows, arms, recipe=recipe, cells=cells_of(planned))
    if as_json or not quiet:
        _print(found, form, as_json, progress)
    if progress.counts["failed"] and not only_table:
        raise typer.Exit(1)


def _of_files(
    files: list[Path], datasets: Any, names: list[str] | None, groups: bool, recipe: str
) -> list[AblationResults]:
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
    found: list[AblationResults], form: str, as_json: bool, progress: SweepProgress | None = None
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
