"""The declaration of a figure of finished runs, for command line, studio and page."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from insphere.experiments.analysis.run_collection import RunCollection
from insphere.experiments.plots.captions import sentence, sources
from insphere.figures.measured import Measured
from insphere.report.gallery import PlannedFigure


class NotEnough(Exception):  # noqa: N818
    """There is nothing to draw. The text says what the figure needs, instead of `needs`."""


@dataclass(frozen=True)
class Content:
    """The content of one figure.

    Parameters
    ----------
    of : tuple of str
        Parts of its name that distinguish it from others of its kind, such as a data set and a
        method; empty if there is only one.
    title : str
        Title of the figure.
    caption : str
        Caption, in sentences.
    runs : sequence of Measured
        The runs in the figure.
    arguments : tuple
        Arguments of the drawing functions, besides ``title``.
    origin : str
        What it was drawn from, if not from the results of the runs.
    """

    of: tuple[str, ...]
    title: str
    caption: str
    runs: Sequence[Measured]
    arguments: tuple[Any, ...]
    origin: str = ""


@dataclass(frozen=True)
class FigureSpec:
    """Declares the figures of one kind.

    Parameters
    ----------
    key : str
        Name for ``insphere figures --only``, in addresses of the studio, and at the beginning of
        file names. Only small letters.
    title : str
        Title in lists.
    needs : str
        What the runs must have, as the end of a sentence.
    contents : callable
        Returns the figures of a collection of runs: none, one or several, such as one for each
        data set. It can raise `NotEnough` to say what is missing.
    printed : callable
        Draws a `Content`'s arguments with Matplotlib.
    screen : callable, optional
        Draws them with Plotly.
    shows : str
        What it shows, in a few words, for the page of figures.
    formerly : tuple of str
        Former names, which are still accepted.
    pictures : bool
        Whether it shows images of the data. Drawing then takes seconds, and a self-contained page
        leaves it out.
    """

    key: str
    title: str
    needs: str
    contents: Callable[[RunCollection], list[Content]]
    printed: Callable[..., Any]
    screen: Callable[..., Any] | None = None
    shows: str = ""
    formerly: tuple[str, ...] = ()
    pictures: bool = False

    def planned(self, collection: RunCollection) -> list[PlannedFigure]:
        """Return the figures of this kind, to be drawn later.

        Raises
        ------
        NotEnough
            If there is none.
        """
        found = [self._planned(collection, one) for one in self.contents(collection)]
        if not found:
            raise NotEnough(self.needs)
        return found

    def _planned(self, collection: RunCollection, one: Content) -> PlannedFigure:
        rows = collection.rows_of(one.runs)
        return PlannedFigure(
            "-".join([self.key, *map(slug, one.of)]),
            one.title,
            one.caption,
            one.origin or sentence(rows, one.runs),
            partial(self.printed, *one.arguments, title=one.title),
            None if self.screen is None else partial(self.screen, *one.arguments, title=one.title),
            tuple(sources(rows, one.runs)),
        )


def on_screen(place: str) -> Callable[..., Any]:
    """Return a function that draws with Plotly, which is needed only when it is called.

    Parameters
    ----------
    place : str
        ``module.function``, the module below `insphere.figures.interactive`.
    """

    def show(*arguments: Any, **options: Any) -> Any:
        module, _, function = place.partition(".")
        drawing = import_module(f"insphere.figures.interactive.{module}")
        return getattr(drawing, function)(*arguments, **options)

    return show


def slug(text: str) -> str:
    """Return a text as a part of a file name: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
