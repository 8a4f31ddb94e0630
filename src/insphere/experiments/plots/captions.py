"""The origin of figures: their runs, in a sentence and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from insphere.experiments.runs.display_names import in_words, measured_runs
from insphere.figures.measured import Measured
from insphere.report.gallery import FigureSource

Row = Mapping[str, Any]
_NAMES = ("insphere", "torch", "numpy", "scikit-learn", "python")
_NAMED = 6  # number of options that are named in a sentence


def sources(rows: Sequence[Row], runs: Sequence[Measured] | None = None) -> list[FigureSource]:
    """Return a summary of rows, with a line for each data set and option.

    Parameters
    ----------
    rows : sequence of mapping
        Finished runs.
    runs : sequence of Measured, optional
        The same with their names in the figure; by default those of `run_names`.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row, run in zip(rows, measured_runs(rows) if runs is None else runs, strict=True):
        groups.setdefault((run.dataset, run.option), []).append(row)
    return [
        FigureSource(
            dataset,
            option,
            method=own[0]["method"],
            params=in_words(own[0]["params"]) or "defaults",
            classes=len({tuple(row["normal"]) for row in own}),
            seeds=tuple(sorted({row["seed"] for row in own})),
            runs=len(own),
            versions=versions_in_words(own),
        )
        for (dataset, option), own in groups.items()
    ]


def sentence(rows: Sequence[Row], runs: Sequence[Measured] | None = None) -> str:
    """Return a sentence on runs: their number, data sets, methods, seeds and versions."""
    found = sources(rows, runs)
    data = list(dict.fromkeys(source.dataset for source in found))
    options = list(dict.fromkeys((s.option, s.method, s.params) for s in found))
    seeds = sorted({seed for source in found for seed in source.seeds})
    listed = [
        option if params == "defaults" else f"{option} ({params})"
        for option, _, params in options[:_NAMED]
    ]
    if len(options) > _NAMED:
        listed.append(f"{len(options) - _NAMED} more")
    return (
        f"From {counted(len(rows), 'run')} on {_and(data)}, {counted(_classes(rows), 'class')}, "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {_and([str(seed) for seed in seeds])}: "
        f"{'; '.join(listed)}. Made with {versions_in_words(rows)}."
    )


def versions_in_words(rows: Sequence[Row]) -> str:
    """Return the versions of the software of the runs."""
    found = {
        name: sorted(
            {str(row["versions"][name]) for row in rows if name in row.get("versions", {})}
        )
        for name in _NAMES
    }
    versions = [
        f"{'Python' if name == 'python' else name} {_and(versions)}"
        for name, versions in found.items()
        if versions
    ]
    return ", ".join(versions) if versions else "unknown versions"


def counted(n: int, what: str) -> str:
    """Return a number with its noun, in singular or plural."""
    plural = what + ("es" if what.endswith("s") else "s")
    return f"{n:,} {what if n == 1 else plural}"


def _classes(rows: Sequence[Row]) -> int:
    return len({(row["dataset"], tuple(row["normal"])) for row in rows})


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
