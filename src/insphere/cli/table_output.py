"""Tables of results on stdout, in the form that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from insphere.cli import console
from insphere.errors import SpecError

if TYPE_CHECKING:
    from insphere.experiments.analysis.text_table import Layout

TableFormat = Annotated[
    str, typer.Option("--format", help="terminal, markdown, latex or csv.", metavar="NAME")
]


def check_format(form: str) -> None:
    """Refuse an unknown form early.

    Raises
    ------
    SpecError
        If there is no such form.
    """
    from insphere.experiments.analysis.text_table import FORMATS

    if form not in FORMATS:
        raise SpecError(f"Unknown format {form!r}; use one of {', '.join(FORMATS)}.")


def print_layouts(layouts: Sequence[Layout], form: str) -> None:
    """Print tables for the terminal, or as Markdown or LaTeX."""
    from insphere.experiments.analysis.text_table import latex, markdown, terminal

    if form == "terminal":
        for layout in layouts:
            console.out.print(terminal(layout), "")
        return
    write = markdown if form == "markdown" else latex
    console.out.file.write("\n".join(write(layout) for layout in layouts))
