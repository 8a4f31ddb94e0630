"""``insphere sweep run | status | table | export``."""

from __future__ import annotations

import shutil
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

if TYPE_CHECKING:
    from insphere.experiments.execution.sweep_progress import SweepProgress
    from insphere.experiments.runs.sweep_file import Sweep

File = Annotated[
    Path, typer.Argument(help="YAML file of the sweep.", metavar="FILE", show_default=False)
]
StorePath = Annotated[
    Path, typer.Option("--store", help="SQLite file in which runs are kept.", metavar="FILE")
]
STORE = Path("runs.sqlite")

sweep = typer.Typer(
    name="sweep",
    help="Run many trainings from one YAML file: data sets, normal classes, methods, options and "
    "seeds.",
    no_args_is_help=True,
)


@sweep.command(
    help="Run the trainings that are not finished. Run the same command again to continue after an "
    "interruption."
)
def run(
    file: File,
    store: StorePath = STORE,
    jobs: Jobs = None,
    backend: Backend = "loky",
    retry_failed: RetryFailed = False,
    save_models: Annotated[
        bool, typer.Option("--save-models", help="Save the model of each run.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a sweep."""
    from insphere.experiments.runs.sweep_file import read_sweep
    from insphere.experiments.store.run_store import Store

    planned_sweep = read_sweep(file)
    planned_sweep.check()
    after = run_planned(
        planned_sweep.name,
        planned_sweep.runs(),
        Store(store),
        jobs=jobs,
        backend=backend,
        retry_failed=retry_failed,
        save_models=save_models,
        quiet=quiet,
    )
    if as_json:
        console.print_json(_summary(planned_sweep, after))
    elif not quiet:
        console.say(f"{in_words(after)}.")
        say_failures(after)
        console.say(f"Next: insphere sweep table {file} --store {console.shown(store)}", "bold")
    if after.counts["failed"]:
        raise typer.Exit(1)


@sweep.command(help="Show how many runs are finished, of one sweep or of all in a store.")
def status(
    file: Annotated[
        Path | None,
        typer.Argument(help="YAML file of the sweep (default: all runs).", metavar="[FILE]"),
    ] = None,
    store: StorePath = STORE,
    as_json: Json = False,
) -> None:
    """Show the progress of a sweep."""
    from insphere.experiments.execution.sweep_progress import look
    from insphere.experiments.runs.display_names import run_names
    from insphere.experiments.runs.sweep_file import SweepRun, read_sweep
    from insphere.experiments.store.run_store import Store

    results = Store(store, create=False)
    results.recover()
    if file is None:
        runs = results.runs()
        names = run_names(runs)
        planned = [SweepRun(one.spec, names[one.identity]) for one in runs]
        name = str(store)
    else:
        planned = read_sweep(file).runs()
        name = str(file)
    progress = look(results, planned)
    if as_json:
        console.print_json({"name": name, **counts_of(progress)})
        return
    console.say(f"{name}: {in_words(progress)}.")
    say_failures(progress)


@sweep.command(help="Print the table of results: mean ± standard deviation over the seeds.")
def table(
    file: File,
    store: StorePath = STORE,
    form: TableFormat = "terminal",
) -> None:
    """Print a sweep's table."""
    from insphere.experiments.analysis.sweep_table import csv_table, sweep_layout, sweep_tables
    from insphere.experiments.runs.sweep_file import read_sweep
    from insphere.experiments.store.run_store import Store

    check_format(form)
    planned = read_sweep(file).runs()
    results = Store(store, create=False)
    failed = [one.identity for one in results.runs(states=("failed",))]
    tables = sweep_tables(planned, results.rows(), failed)
    if form == "csv":
        console.out.file.write(csv_table(tables))
    else:
        print_layouts([sweep_layout(one) for one in tables], form)


@sweep.command(
    help="Write finished runs to a .jsonl file, or together with their scores to a folder."
)
def export(
    file: File,
    out: Annotated[
        Path,
        typer.Option(
            help="A file ending in .jsonl, or a folder.", metavar="PATH", show_default=False
        ),
    ],
    store: StorePath = STORE,
    as_json: Json = False,
) -> None:
    """Export a sweep."""
    from insphere.experiments.runs.sweep_file import read_sweep
    from insphere.experiments.store.jsonl_rows import append_new
    from insphere.experiments.store.run_store import Store

    planned = read_sweep(file).runs()
    results = Store(store, create=False)
    rows = results.rows(one.spec.identity for one in planned)
    to_file = out.suffix == ".jsonl"
    path = out if to_file else out / "rows.jsonl"
    new = append_new(path, rows)
    if not to_file:
        shutil.copyfile(file, out / "sweep.yaml")
        for row in rows:
            source = results.files.folder(row["run"])
            if source.is_dir():
                shutil.copytree(source, out / row["run"], dirs_exist_ok=True)
    missing = len(planned) - len(rows)
    if as_json:
        console.print_json({"path": str(out), "rows": len(rows), "new": new, "missing": missing})
        return
    left_out = (
        f"; {missing} of {len(planned)} are left out because they are not finished"
        if missing
        else ""
    )
    console.say(f"{console.shown(path)} holds {len(rows)} runs; {new} are new{left_out}.")


def _summary(planned: Sweep, progress: SweepProgress) -> dict[str, Any]:
    rows = [one.row() for one in progress.runs.values() if one.state == "finished"]
    return {"name": planned.name, **counts_of(progress), "rows": rows}
