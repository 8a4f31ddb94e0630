"""``insphere sweep run | status | table | export``."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import Json, Quiet
from insphere.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from insphere.experiments.progress import Progress
    from insphere.experiments.record import Run
    from insphere.experiments.store import Store
    from insphere.experiments.sweep_file import Sweep, SweepRun

LOOK_SECONDS = 0.5

File = Annotated[
    Path, typer.Argument(help="YAML file of the sweep.", metavar="FILE", show_default=False)
]
StorePath = Annotated[
    Path, typer.Option("--store", help="SQLite file of the results.", metavar="FILE")
]
STORE = Path("runs.sqlite")

sweep = typer.Typer(
    name="sweep",
    help="Many runs: datasets, normal classes, methods, options and seeds from one YAML file.",
    no_args_is_help=True,
)


@sweep.command(help="Run all that is not finished yet; started again, it continues.")
def run(
    file: File,
    store: StorePath = STORE,
    jobs: Annotated[
        int | None,
        typer.Option(help="Runs at once (default: one for each core).", show_default=False),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="loky (processes), ray or threading.", metavar="NAME")
    ] = "loky",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run those again that failed.")
    ] = False,
    save_models: Annotated[
        bool, typer.Option("--save-models", help="Keep the model of each run.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a sweep."""
    from insphere.experiments.parallel import (
        available_cores,
        run_stored,
        share_cores,
        thread_limit,
    )
    from insphere.experiments.progress import look
    from insphere.experiments.store import Store
    from insphere.experiments.sweep import grouped
    from insphere.experiments.sweep_file import read_sweep

    chosen = read_sweep(file)
    chosen.check()
    planned = chosen.runs()
    specs = [one.spec for one in planned]
    name: Any = backend
    cores = share_cores(len(grouped(specs)), jobs, name, available_cores(), thread_limit())
    results = Store(store)
    before = look(results, planned).counts
    if not quiet:
        console.note(
            f"{chosen.name}: {len(planned)} runs, of which {before['finished']} are finished"
            f"{_failed_before(before['failed'], retry_failed)}; {cores.jobs} at once, with "
            f"{cores.threads} thread{'s' if cores.threads > 1 else ''} each."
        )
    try:
        with nullcontext() if quiet else _follow(results, planned, cores.jobs):
            run_stored(
                specs,
                results,
                jobs=jobs,
                backend=name,
                retry_failed=retry_failed,
                save_models=save_models,
            )
    except KeyboardInterrupt:
        console.note(
            f"Stopped. {_in_words(look(results, planned))}; the same command continues there."
        )
        raise typer.Exit(130) from None
    after = look(results, planned)
    if as_json:
        console.print_json(_summary(chosen, after))
    elif not quiet:
        console.say(f"{_in_words(after)}.")
        _say_failures(after)
        console.say(f"Next: insphere sweep table {file} --store {console.shown(store)}", "bold")
    if after.counts["failed"]:
        raise typer.Exit(1)


@sweep.command(help="Say how far a sweep, or everything in a store, is.")
def status(
    file: Annotated[
        Path | None,
        typer.Argument(help="YAML file of the sweep; by default all runs.", metavar="[FILE]"),
    ] = None,
    store: StorePath = STORE,
    as_json: Json = False,
) -> None:
    """Say how far a sweep is."""
    from insphere.experiments.progress import look
    from insphere.experiments.store import Store
    from insphere.experiments.sweep_file import SweepRun, read_sweep

    results = Store(store, create=False)
    results.recover()
    if file is None:
        planned = [SweepRun(one.spec, one.method) for one in results.runs()]
        name = str(store)
    else:
        planned = read_sweep(file).runs()
        name = str(file)
    progress = look(results, planned)
    if as_json:
        console.print_json({"name": name, **_counts(progress)})
        return
    console.say(f"{name}: {_in_words(progress)}.")
    _say_failures(progress)


@sweep.command(help="Print the table of results: mean ± standard deviation over seeds.")
def table(
    file: File,
    store: StorePath = STORE,
    layout: Annotated[
        str, typer.Option("--format", help="terminal, markdown, latex or csv.", metavar="NAME")
    ] = "terminal",
) -> None:
    """Print a sweep's table."""
    from insphere.experiments.store import Store
    from insphere.experiments.sweep_file import read_sweep
    from insphere.experiments.sweep_table import (
        FORMATS,
        csv_table,
        latex_table,
        markdown_table,
        sweep_tables,
        terminal_table,
    )

    if layout not in FORMATS:
        raise SpecError(f"Unknown format {layout!r}; use one of {', '.join(FORMATS)}.")
    planned = read_sweep(file).runs()
    results = Store(store, create=False)
    failed = [one.identity for one in results.runs(states=("failed",))]
    tables = sweep_tables(planned, results.rows(), failed)
    if layout == "terminal":
        for one in tables:
            console.out.print(terminal_table(one))
        return
    if layout == "csv":
        console.out.file.write(csv_table(tables))
        return
    write = markdown_table if layout == "markdown" else latex_table
    console.out.file.write("\n".join(write(one) for one in tables))


@sweep.command(help="Write finished runs to a file of rows, or with their scores to a folder.")
def export(
    file: File,
    out: Annotated[
        Path,
        typer.Option(help="rows.jsonl, or a folder.", metavar="PATH", show_default=False),
    ],
    store: StorePath = STORE,
    as_json: Json = False,
) -> None:
    """Export a sweep."""
    from insphere.experiments.rows import append_row, read_rows
    from insphere.experiments.store import Store
    from insphere.experiments.sweep_file import read_sweep

    planned = read_sweep(file).runs()
    results = Store(store, create=False)
    rows = results.rows(one.spec.identity for one in planned)
    to_file = out.suffix == ".jsonl"
    path = out if to_file else out / "rows.jsonl"
    there = {row["run"] for row in read_rows(path)}
    new = [row for row in rows if row["run"] not in there]
    for row in new:
        append_row(path, row)
    if not to_file:
        shutil.copyfile(file, out / "sweep.yaml")
        for row in rows:
            source = results.files.folder(row["run"])
            if source.is_dir():
                shutil.copytree(source, out / row["run"], dirs_exist_ok=True)
    missing = len(planned) - len(rows)
    if as_json:
        console.print_json(
            {"path": str(out), "rows": len(rows), "new": len(new), "missing": missing}
        )
        return
    left_out = f"; {missing} of {len(planned)} are not finished and left out" if missing else ""
    console.say(f"{len(rows)} runs are in {console.shown(path)}, {len(new)} of them new{left_out}.")


# ---------------------------------------------------------------------- what is shown


@contextmanager
def _follow(store: Store, planned: list[SweepRun], jobs: int) -> Iterator[None]:
    """Show a live table in a terminal, or else a line for each run that ends."""
    from rich.live import Live

    from insphere.experiments.progress import look

    started = time.time()
    over = threading.Event()
    told = {key for key, one in look(store, planned).runs.items() if one.state == "finished"}

    def tell(progress: Progress) -> None:
        for one in progress.planned:
            found = progress.runs.get(one.spec.identity)
            ended = found is not None and found.state in ("finished", "failed")
            recent = found is not None and (found.finished or 0.0) >= started
            if found is not None and ended and recent and found.identity not in told:
                told.add(found.identity)
                console.note(_line(found, one))

    live = Live(console=console.err, auto_refresh=False) if console.err.is_terminal else None

    def watch() -> None:
        last = False
        while not last:
            last = over.wait(LOOK_SECONDS)
            progress = look(store, planned)
            if live is None:
                tell(progress)
            else:
                live.update(progress.renderable(jobs, started), refresh=True)

    thread = threading.Thread(target=watch, name="insphere-sweep", daemon=True)
    with nullcontext() if live is None else live:
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _line(found: Run, planned: SweepRun) -> str:
    what = f"{found.dataset} {planned.normal}, {planned.column}, seed {found.seed}"
    if found.state == "failed":
        return f"{what}: failed: {found.reason}"
    return f"{what}: AUC {100 * (found.auc or 0.0):.2f} % in {found.seconds or 0.0:.1f} s"


def _failed_before(failed: int, retry: bool) -> str:
    if not failed:
        return ""
    return f" and {failed} failed" + (
        " (tried again)" if retry else " (--retry-failed tries again)"
    )


def _counts(progress: Progress) -> dict[str, Any]:
    counts = progress.counts
    waiting = counts["queued"] + counts.pop("new")
    failures = [
        {"run": one.identity, "reason": one.reason}
        for one in progress.runs.values()
        if one.state == "failed"
    ]
    return {"runs": len(progress.planned)} | counts | {"queued": waiting, "failures": failures}


def _in_words(progress: Progress) -> str:
    counts = _counts(progress)
    names = ("finished", "running", "interrupted", "failed", "queued")
    parts = [f"{counts[name]} {name}" for name in names if counts[name] or name == "finished"]
    return f"{', '.join(parts)}, of {counts['runs']} runs"


def _summary(chosen: Sweep, progress: Progress) -> dict[str, Any]:
    rows = [one.row() for one in progress.runs.values() if one.state == "finished"]
    return {"name": chosen.name, **_counts(progress), "rows": rows}


def _say_failures(progress: Progress) -> None:
    for one in progress.planned:
        found = progress.runs.get(one.spec.identity)
        if found is not None and found.state == "failed":
            console.say(f"  {_line(found, one)}")
