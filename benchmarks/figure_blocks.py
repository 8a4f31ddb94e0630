"""The table of figures for the docs."""

from __future__ import annotations

from collections.abc import Callable

from insphere.experiments.plots.catalogue import figure_specs


def figures() -> str:
    """Lay out what each figure shows, its name and what it needs."""
    rows = [["figure", "`--only`", "needs"], ["---"] * 3]
    rows += [[spec.shows, f"`{spec.key}`", spec.needs] for spec in figure_specs()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


BLOCKS: dict[str, Callable[[], str]] = {"figures": figures}
