"""``insphere ablate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insphere.cli import console
from insphere.cli.options import Json, Normal, Quiet
from insphere.cli.running import Backend, Jobs, RetryFailed, in_words, run_planned, say_failures

Datasets = Annotated[
    list[str], typer.Argument(help="Names or paths.", metavar="DATASET...", show_default=False)
]
OptionNames = Annotated[
    str | None,
    typer.Option(
        "--options",
        help="Which options, with commas between them (default: all that are safe and fast).",
        metavar="NAMES",
        show_default=False,
    ),
]
Groups = Annotated[
    bool, typer.Option("--groups/--no-groups", help="Measure options together, too.")
]


def ablate(
    datasets: Datasets,
    options: OptionNames = None,
    groups: Groups = True,
    normal: Normal = None,
    seeds: Annotated[int, typer.Option(help="How many seeds: 0, 1, …", min=1)] = 1,
    recipe: Annotated[str, typer.Option(help="fast or paper.", metavar="NAME")] = "fast",
    jobs: Jobs = None,
    backend: Backend = "loky",
    store: Annotated[
        Path, typer.Option("--store", help="SQLite file of the results.", metavar="FILE")
    ] = Path("runs.sqlite"),
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Add new rows to this file.", metavar="ROWS.jsonl", show_default=False
        ),
    ] = None,
    retry_failed: RetryFailed = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure what each processing option changes."""
    from insphere.experiments.ablation import study_arms, study_sweep
    from insphere.experiments.rows import merge_rows
    from insphere.experiments.store import Store

    names = None if options is None else [name.strip() for name in options.split(",")]
    arms = study_arms(names, groups=groups)
    study = study_sweep(datasets, arms, normal=normal or (), seeds=seeds, recipe=recipe)
    planned = study.runs()
    results = Store(store)
    after = run_planned(
        "ablation",
        planned,
        results,
        jobs=jobs,
        backend=backend,
        retry_failed=retry_failed,
        quiet=quiet or as_json,
    )
    rows = results.rows(one.spec.identity for one in planned)
    if out is not None:
        new = merge_rows(out, rows)
        console.note(f"{new} new rows are in {console.shown(out)}.")
    console.say(f"{in_words(after)}.")
    say_failures(after)
