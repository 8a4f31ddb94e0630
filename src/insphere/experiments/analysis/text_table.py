"""Tables of texts for the terminal, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.markup import escape
from rich.table import Table

Format = Literal["terminal", "markdown", "latex", "csv"]
FORMATS: tuple[Format, ...] = ("terminal", "markdown", "latex", "csv")


@dataclass(frozen=True)
class Text:
    """The text of a cell.

    Parameters
    ----------
    text : str
        Plain text.
    bold : bool
        Whether it is bold.
    """

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a layout.

    Parameters
    ----------
    title : str
        Title of the column.
    words : bool
        Whether it holds words, which are aligned left, rather than numbers.
    dim : bool
        Whether the terminal shows it dim, for example published numbers.
    """

    title: str
    words: bool = False
    dim: bool = False


@dataclass(frozen=True)
class Layout:
    """A table of texts.

    Parameters
    ----------
    name, what, note : str
        Title, the meaning of the numbers, and a note of one or more sentences.
    columns : list of Column
        Its columns.
    parts : list of list of list of Text
        Lines with a cell for each column, in parts.
    """

    name: str
    what: str
    note: str
    columns: Sequence[Column]
    parts: Sequence[Sequence[Sequence[Text]]]


def terminal(layout: Layout) -> Table:
    """Return a table for the terminal."""
    shown = Table(
        title=escape(f"{layout.name}: {layout.what}"),
        caption=escape(layout.note),
        title_justify="left",
        caption_justify="left",
    )
    for column in layout.columns:
        shown.add_column(
            escape(column.title),
            justify="left" if column.words else "right",
            style="dim" if column.dim else None,
            overflow="fold",
        )
    for part in layout.parts:
        for line in part:
            fields = (escape(field.text) for field in line)
            shown.add_row(
                *(
                    f"[bold]{text}[/]" if field.bold else text
                    for text, field in zip(fields, line, strict=True)
                )
            )
        shown.add_section()
    return shown


def markdown(layout: Layout) -> str:
    """Return a table in Markdown, below a line with its title."""
    note = f" {layout.note}" if layout.note else ""
    return f"**{layout.name}**: {layout.what}.{note}\n\n{markdown_grid(layout)}"


def markdown_grid(layout: Layout) -> str:
    """Return a table in Markdown, without a title."""
    lines = [[f"**{f.text}**" if f.bold else f.text for f in line] for line in _lines(layout)]
    titles = [column.title for column in layout.columns]
    rule = ["---" if column.words else "---:" for column in layout.columns]
    laid = [" | ".join(text.replace("|", "\\|") for text in line) for line in (titles, *lines)]
    laid.insert(1, " | ".join(rule))
    return "".join(f"| {line} |\n" for line in laid)


def latex(layout: Layout) -> str:
    r"""Return a table in LaTeX; it needs ``\usepackage{booktabs}``."""
    caption = _tex(f"{layout.name}: {layout.what}. {layout.note}")
    laid = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{{''.join('l' if c.words else 'r' for c in layout.columns)}}}",
        r"\toprule",
        " & ".join(_tex(column.title) for column in layout.columns) + r" \\",
    ]
    for part in layout.parts:
        laid.append(r"\midrule")
        for line in part:
            shown = [rf"\textbf{{{_tex(f.text)}}}" if f.bold else _tex(f.text) for f in line]
            laid.append(" & ".join(shown) + r" \\")
    return "\n".join([*laid, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _lines(layout: Layout) -> list[Sequence[Text]]:
    return [line for part in layout.parts for line in part]


_TEX = str.maketrans({
    "\\": r"\textbackslash ", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde ", "^": r"\textasciicircum ",
    "±": r"$\pm$", "−": "$-$", "–": "--",
})  # fmt: skip


def _tex(text: str) -> str:
    return text.translate(_TEX)
