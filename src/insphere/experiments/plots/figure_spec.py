"""What every figure of finished runs has in common: a name, a caption, from which runs it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from insphere.experiments.analysis.run_collection import Material
from insphere.experiments.plots.captions import sentence, sources
from insphere.figures.measured import Measured
from insphere.report.gallery import Plate


class NotEnough(Exception):  # noqa: N818
    """There is nothing to draw; the text says what the figure needs."""


@dataclass(frozen=True)
class Kind:
    """Figures of one kind.

    Parameters
    ----------
    name : str
        As on the command line.
    title : str
        What they are, in a list.
    make : callable
        Returns the figures, from `Material`.
    """

    name: str
    title: str
    make: Callable[[Material], list[Plate]]


def slug(text: str) -> str:
    """Return a text as a part of a file name: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def plate(
    material: Material,
    runs: Sequence[Measured],
    name: str,
    title: str,
    caption: str,
    printed: Callable[..., Any],
    *arguments: Any,
    screen: bool = True,
    origin: str = "",
) -> Plate:
    """Return a figure to be drawn later: `printed`, and what `interactive` calls by that name.

    Parameters
    ----------
    material : Material
        Where the runs are from.
    runs : sequence of Measured
        Runs that the figure shows.
    name, title, caption : str
        See `Plate`.
    printed : callable
        Draws it; is given the arguments and, as ``title``, the heading.
    *arguments
        What it draws.
    screen : bool
        Whether there is a counterpart for the screen.
    origin : str
        What it was drawn from, if not the results of the runs.
    """

    def on_screen() -> Any:
        from insphere.figures import interactive

        return getattr(interactive, printed.__name__)(*arguments, title=title)

    rows = material.rows_of(runs)
    return Plate(
        name,
        title,
        caption,
        origin or sentence(rows, runs),
        partial(printed, *arguments, title=title),
        on_screen if screen else None,
        tuple(sources(rows, runs)),
    )
