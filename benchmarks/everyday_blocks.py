"""Tables of everyday use, from the rows of ``everyday.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from insphere.detectors.registry import method_title
from insphere.experiments.store.jsonl_rows import read_rows
from tables_of_rows import markdown

RESULTS = Path(__file__).parent / "results" / "everyday.jsonl"
NOTHING = "Not measured yet.\n"


def _rows(suite: str, field: str) -> list[dict[str, Any]]:
    return [row for row in read_rows(RESULTS) if row["suite"] == suite and field in row]


def watch() -> str:
    """Count lines of a watched folder whose watcher was killed."""
    rows = _rows("watch", "wrong_scores")
    if not rows:
        return NOTHING
    header = [
        "files", "killed", "written in two parts", "lines", "missed", "two lines", "wrong score",
        "alarms", "put away", "minutes",
    ]  # fmt: skip
    fields = ("files", "kills", "slowly_written", "lines", "missed", "twice", "wrong_scores")
    cells = [
        [f"{row[field]:,}" for field in (*fields, "alarms", "alarms_moved")]
        + [f"{row['seconds'] / 60:.1f}"]
        for row in rows
    ]
    return markdown(header, cells) + f"\n{_machine(rows)}\n"


def queue() -> str:
    """Set memory and answers of the studio while photos are sent, scored and looked at."""
    rows = _rows("queue", "key_ms")
    if not rows:
        return NOTHING
    row = rows[-1]
    height, width = row["size"]
    times = {
        "the page, fetched while photos are sent": row["page_while_sending_ms"],
        "the page, fetched while they are scored": row["page_ms"],
        "a key, until the next photo is shown": row["key_ms"],
    }
    answers = [
        [name, *(f"{found[one]:,.0f}" for one in ("median", "of_100_95", "longest", "n"))]
        for name, found in times.items()
    ]
    memory = [
        [name, *(f"{row[key][one]:,.0f}" for one in ("first_fifth", "last_fifth", "peak"))]
        for name, key in (
            ("the process that scores", "worker_memory_mb"),
            ("the studio", "studio_memory_mb"),
        )
    ]
    return (
        f"{row['photos']:,} photos of {width}×{height}, {method_title(row['method'])}: sent in "
        f"{_minutes(row['seconds_to_send'])}, scored in {_minutes(row['seconds'])}, "
        f"{row['alarms']:,} alarms.\n\n"
        + markdown(["answers, ms", "median", "95 of 100", "longest", "measurements"], answers)
        + "\n"
        + markdown(["memory, MB", "first fifth", "last fifth", "peak"], memory)
        + f"\n{_machine([row])}\n"
    )


def first() -> str:
    """Set the time to the first scored photo by command line and studio."""
    rows = _rows("first", "photos")
    if not rows:
        return NOTHING
    cells = []
    for row in rows:
        height, width = row["size"]
        photos = f"{row['photos']:,} of {width}×{height}"
        if "command_line_seconds" in row:
            method = method_title(row["method"])
            asked = "" if row["asked"] == "nothing" else f" --method {row['asked']}"
            how = f"`insphere fit`{asked}, `insphere score` ({method})"
            cells.append([how, photos, _minutes(row["command_line_seconds"]), f"{row['load']:.1f}"])
        if "studio_seconds" in row:
            cells.append(
                ["studio, quick", photos, _minutes(row["studio_seconds"]), f"{row['load']:.1f}"]
            )
    return (
        markdown(["way", "good photos", "until the first map", "load"], cells)
        + f"\n{_machine(rows, load=False)}\n"
    )


def choose() -> str:
    """Set the time of a choice with the training of the winner, and of one score."""
    rows = [row for row in _rows("choose", "seconds") if row["chosen"]]
    if not rows:
        return NOTHING
    cells = []
    for row in rows:
        height, width = row["size"]
        cells.append(
            [
                f"{row['photos']:,} of {width}×{height}", method_title(row["method"]),
                _minutes(row["seconds"]), f"{row['score_seconds_each']:.2f} s",
            ]
        )  # fmt: skip
    header = ["photos", "chosen", "`choose` and training", "score of one photo"]
    return markdown(header, cells) + f"\n{_machine(rows)}\n"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _machine(rows: list[dict[str, Any]], *, load: bool = True) -> str:
    found = rows[-1]["machine"]
    shared = ", ".join(f"{row['load']:.1f}" for row in rows)
    said = f"Measured on {found['processor']}, {found['cores']} cores, {found['system']}"
    return f"{said}; other programs ran as well (load {shared})." if load else f"{said}."


BLOCKS: Mapping[str, Callable[[], str]] = {
    "everyday-watch": watch,
    "everyday-queue": queue,
    "everyday-first": first,
    "everyday-choose": choose,
}
