"""Tables of results on stdout, in the format of the option ``--format``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from insphere.cli import console
from insphere.errors import SpecError

if TYPE_CHECKING:
    from insphere.experiments.analysis.text_table import Layout

TableFormat = Annotated[
    str,
    typer.Option(
        "--format", help="Format of the table: terminal, markdown, latex or csv.", metavar="NAME"
    ),
]


def check_format(form: str) -> None:
    """Check the name of a format before the work begins.

    Raises
    ------
    SpecError
        If there is no such format.
    """
    from insphere.experiments.analysis.text_table import FORMATS

    if form not in FORMATS:
        raise SpecError(f"Unknown format {form!r}; use one of {', '.join(FORMATS)}.")


def print_layouts(layouts: Sequence[Layout], form: str) -> None:
    """Print tables in the format terminal, markdown or latex."""
    from insphere.experiments.analysis.text_table import latex, markdown, terminal

    if form == "terminal":
        for layout in layouts:
            console.out.print(terminal(layout), "")
        return
    write = markdown if form == "markdown" else latex
    console.out.file.write("\n".join(write(layout) for layout in layouts))
