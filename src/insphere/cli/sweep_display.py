"""Executing many runs and showing their progress, for ``sweep run`` and ``ablate``."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insphere.cli import console
from insphere.durations import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from insphere.experiments.execution.engine import Watch
    from insphere.experiments.execution.sweep_progress import SweepProgress
    from insphere.experiments.runs.sweep_file import SweepRun
    from insphere.experiments.store.run_record import Run
    from insphere.experiments.store.run_store import Store

Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", help="Number of runs at a time (default: one for each core).", show_default=False
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        help="How runs are distributed: loky (processes), ray or threading.",
        metavar="NAME",
    ),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Repeat runs that failed.", show_default=False)
]


def run_planned(
    name: str,
    planned: Sequence[SweepRun],
    store: Store,
    *,
    jobs: int | None = None,
    backend: str = "loky",
    retry_failed: bool = False,
    save_models: bool = False,
    rows: Path | None = None,
    quiet: bool = False,
) -> SweepProgress:
    """Execute all unfinished runs, show the progress, and return the final state.

    Each new row is appended to the file `rows`; see `run_specs`. Ctrl-C ends the command, with a
    message that says how to continue.
    """
    from insphere.experiments.execution.backends import available_cores, share_cores, thread_limit
    from insphere.experiments.execution.engine import grouped, run_specs
    from insphere.experiments.execution.sweep_progress import look

    specs = [one.spec for one in planned]
    way: Any = backend
    cores = share_cores(len(grouped(specs)), jobs, way, available_cores(), thread_limit())
    before = look(store, planned).counts
    if not quiet:
        console.note(
            f"{name}: {len(planned)} runs; {before['finished']} are finished already"
            f"{_failed_before(before['failed'], retry_failed)}; {cores.jobs} at a time, with "
            f"{cores.threads} thread{'s' if cores.threads > 1 else ''} each."
        )
    try:
        with _shown(planned, cores.jobs, quiet) as watch:
            run_specs(
                specs,
                store,
                jobs=jobs,
                backend=way,
                retry_failed=retry_failed,
                save_models=save_models,
                rows=rows,
                watch=watch,
            )
    except KeyboardInterrupt:
        console.note(
            f"Stopped. {in_words(look(store, planned))}. Run the same command to continue."
        )
        raise typer.Exit(130) from None
    return look(store, planned)


def counts_of(progress: SweepProgress) -> dict[str, Any]:
    """Count runs by state, and list failures, as JSON values."""
    counts = progress.counts
    waiting = counts["queued"] + counts.pop("new")
    failures = [
        {"run": one.identity, "reason": one.reason}
        for one in progress.runs.values()
        if one.state == "failed"
    ]
    return {"runs": len(progress.planned)} | counts | {"queued": waiting, "failures": failures}


def in_words(progress: SweepProgress) -> str:
    """Return the number of runs in each state, as a sentence."""
    counts = counts_of(progress)
    names = ("finished", "running", "interrupted", "failed", "queued")
    parts = [f"{counts[name]} {name}" for name in names if counts[name] or name == "finished"]
    return f"{', '.join(parts)}, of {counts['runs']} runs"


def say_failures(progress: SweepProgress) -> None:
    """Print the runs that failed, with the reasons."""
    for one in progress.planned:
        found = progress.runs.get(one.spec.identity)
        if found is not None and found.state == "failed":
            console.say(f"  {_line(found, one)}")


# ---------------------------------------------------------------------- inside


@contextmanager
def _shown(planned: Sequence[SweepRun], jobs: int, quiet: bool) -> Iterator[Watch | None]:
    """Show a live table in a terminal; elsewhere print a line when a run ends."""
    from rich.live import Live

    from insphere.experiments.execution.engine import as_they_end
    from insphere.experiments.execution.sweep_progress import SweepProgress

    if quiet:
        yield None
        return
    if not console.err.is_terminal:
        by_identity = {one.spec.identity: one for one in planned}
        yield as_they_end(lambda run: console.note(_line(run, by_identity[run.identity])))
        return
    started = time.time()
    with Live(console=console.err, auto_refresh=False) as live:

        def show(runs: list[Run]) -> None:
            progress = SweepProgress(planned, {run.identity: run for run in runs}, time.time())
            live.update(progress.renderable(jobs, started), refresh=True)

        yield show


def _line(found: Run, planned: SweepRun) -> str:
    from insphere.experiments.runs.display_names import dataset_title

    place = dataset_title(found.dataset)
    what = f"{place} {planned.normal}, {planned.column}, seed {found.seed}"
    if found.state == "failed":
        return f"{what}: failed: {found.reason}"
    return (
        f"{what}: AUC {100 * (found.auc or 0.0):.2f} % in {duration(found.seconds, measured=True)}"
    )


def _failed_before(failed: int, retry: bool) -> str:
    if not failed:
        return ""
    return f" and {failed} failed" + (
        " (they are repeated)" if retry else " (--retry-failed repeats them)"
    )
