"""Measurements that go on where they were stopped: a row for each set, seed and method."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from insphere.experiments.store.jsonl_rows import append_row, read_rows


def arguments(text: str | None, methods: Sequence[str], out: Path) -> argparse.Namespace:
    """Read the options that these scripts share: where the data is, and what to measure."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=list(methods), choices=list(methods))
    parser.add_argument("--sets", nargs="+", help="measure these sets alone")
    parser.add_argument("--out", type=Path, default=out)
    return parser.parse_args()


def already_measured(path: Path) -> list[dict[str, Any]]:
    """Return what the rows of a file are about, without their results and versions."""
    return [
        {name: value for name, value in row.items() if name not in ("measured", "versions")}
        for row in read_rows(path)
    ]


def measure_missing(
    given: argparse.Namespace,
    sets: Iterable[str],
    opened: Callable[[str, int], Sequence[Any]],
    measured: Callable[..., dict[str, Any]],
) -> None:
    """Append the rows that are not there yet, seed by seed.

    Parameters
    ----------
    given : argparse.Namespace
        From `arguments`.
    sets : iterable of str
        Names of the sets.
    opened : callable
        From the name of a set and a seed to its data; called only if a row is missing.
    measured : callable
        From set, seed, method and the data to a row.
    """
    done = {(row["set"], row["seed"], row["method"]) for row in read_rows(given.out)}
    names = [name for name in sets if given.sets is None or name in given.sets]
    for seed in range(given.seeds):
        for name in names:
            missing = [m for m in given.methods if (name, seed, m) not in done]
            data = opened(name, seed) if missing else ()
            for method in missing:
                row = measured(name, seed, method, *data)
                append_row(given.out, row)
                print(row, flush=True)
