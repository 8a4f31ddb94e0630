"""How a figure of finished runs is declared: once, for command line, studio and page."""

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
    """There is nothing to draw; the text says what the figure needs, in place of `needs`."""


@dataclass(frozen=True)
class Content:
    """What one figure shows.

    Parameters
    ----------
    of : tuple of str
        What tells it apart from others of its kind, for its name: a dataset, a method; empty if
        there is one alone.
    title : str
        Its heading.
    caption : str
        What it shows, in sentences.
    runs : sequence of Measured
        Runs that it shows.
    arguments : tuple
        What the drawing functions are given, besides ``title``.
    origin : str
        What it was drawn from, if not the results of the runs.
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
        Its name: of ``insphere figures --only``, in the studio's addresses, and the beginning of
        the names of its files. Small letters alone.
    title : str
        What it is called in lists.
    needs : str
        What runs must have so that it can be drawn, as the end of a sentence.
    contents : callable
        Returns what there is to draw from a collection of runs: nothing, one figure or several,
        such as one for each dataset. May raise `NotEnough` to say more exactly what is missing.
    printed : callable
        Draws a `Content`'s arguments with Matplotlib.
    screen : callable, optional
        Draws them with Plotly.
    formerly : tuple of str
        Names that it had, which are still understood.
    pictures : bool
        Whether it consists of images of the data. It takes seconds to draw, and a page that holds
        all its figures itself leaves it out.
    """

    key: str
    title: str
    needs: str
    contents: Callable[[RunCollection], list[Content]]
    printed: Callable[..., Any]
    screen: Callable[..., Any] | None = None
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
