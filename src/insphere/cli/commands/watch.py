"""``insphere watch``: score what arrives in a folder."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import Json, Model, Quiet, Reading, read_options, reads_images
from insphere.errors import SpecError

if TYPE_CHECKING:
    from insphere.workflows.watching import Watcher

_ALARMS = "Alarms"
DRIFT_EVERY = 30.0  # seconds between two tests for drift


@reads_images("size", "grey")
def watch(
    model: Model,
    folder: Annotated[
        str,
        typer.Argument(
            help="Folder to watch, with its subfolders.", metavar="FOLDER", show_default=False
        ),
    ],
    *,
    out: Annotated[
        str,
        typer.Option(
            help="File to which a line is appended for each image: .csv or .jsonl.", metavar="FILE"
        ),
    ] = "insphere-watch.csv",
    every: Annotated[float, typer.Option(help="Seconds between two looks.")] = 1.0,
    settle: Annotated[
        float,
        typer.Option(
            help="Seconds for which a file must not have changed, so that files that are still "
            "being copied are waited for."
        ),
    ] = 1.0,
    once: Annotated[
        bool,
        typer.Option("--once", help="End when everything that is there has a line."),
    ] = False,
    move_alarms: Annotated[
        str | None,
        typer.Option(
            help="Move anomalous images to this folder.", metavar="FOLDER", rich_help_panel=_ALARMS
        ),
    ] = None,
    copy_alarms: Annotated[
        str | None,
        typer.Option(
            help="Copy anomalous images to this folder.", metavar="FOLDER", rich_help_panel=_ALARMS
        ),
    ] = None,
    on_alarm: Annotated[
        str | None,
        typer.Option(
            help="Run this command for each anomalous image, with its path as the last argument.",
            metavar="COMMAND",
            rich_help_panel=_ALARMS,
        ),
    ] = None,
    reading: Reading,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Watch a folder: score each image that arrives, once, and append a line to a file.

    The file is safe against crashes: started again, the command goes on, and no image gets a
    second line. A file that is replaced by another one counts as new. End it with Ctrl+C.

    With --json each row is also printed as a line of JSON.

    For example:

        insphere watch model incoming --out scores.csv
        insphere watch model incoming --move-alarms suspicious --on-alarm "notify-send Alarm"
    """
    from insphere.detectors import load_detector
    from insphere.workflows.watch_log import WatchLog
    from insphere.workflows.watching import Watcher, WatchSettings

    if not 0.05 <= every <= 86_400:
        raise SpecError(f"--every is a number of seconds from 0.05 to 86400, but got {every:g}.")
    settings = WatchSettings(
        Path(folder),
        settle,
        None if move_alarms is None else Path(move_alarms),
        None if copy_alarms is None else Path(copy_alarms),
        on_alarm,
        read_options(reading),
    )
    detector = load_detector(model)
    with WatchLog(Path(out)) as log:
        watcher = Watcher(detector, settings, log)
        if not quiet and not as_json:
            before = f"; {len(log.seen):,} images have a line already" if log.seen else ""
            console.note(
                f"Watching {console.shown(folder)}, scores in {console.shown(out)}{before}"
            )
        with suppress(KeyboardInterrupt):
            _watch(watcher, every, once, as_json=as_json, quiet=quiet)
        if not quiet and not as_json:
            console.say(_summary(watcher))


def _watch(watcher: Watcher, every: float, once: bool, *, as_json: bool, quiet: bool) -> None:
    warned, tested = False, 0.0
    while True:
        for row in watcher.look():
            if as_json:
                console.print_json_line(row)
            elif not quiet:
                _print(row)
        for note in watcher.notes:
            console.note(note)
        watcher.notes.clear()
        if not warned and time.monotonic() - tested > DRIFT_EVERY:
            drift, tested = watcher.drift(), time.monotonic()
            if drift is not None and drift.warned:
                warned = True
                console.note(drift.sentence())
        if once and not watcher.waiting:
            return
        time.sleep(every)


def _print(row: dict[str, Any]) -> None:
    from rich.text import Text

    if "error" in row:
        console.note(f"{row['path']} has no score: {row['error']}")
        return
    verdict = row.get("verdict", "")
    style = {"anomalous": "red", "normal": "green"}.get(verdict, "")
    line = Text(f"{row['time'][11:19]}  ").append(f"{verdict:<10}", style)
    line.append(f"{row['score']:>10.4g}  ")
    if "severity" in row:
        line.append(f"severity {row['severity']:<5.1f} ")
    console.out.print(line.append(row["path"]), soft_wrap=True)


def _summary(watcher: Watcher) -> str:
    told = f"{watcher.n_scored:,} images scored, {watcher.n_alarms:,} alarms"
    if watcher.n_errors:
        told += f", {watcher.n_errors:,} without a score because they cannot be read"
    drift = watcher.drift()
    return f"{told}." + ("" if drift is None else f" {drift.sentence()}")
