"""Drawing all possible figures of a collection of runs into a folder, with a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from insphere.experiments.analysis.run_collection import RunCollection
from insphere.experiments.plots.captions import sentence
from insphere.experiments.plots.catalogue import plan
from insphere.report.gallery import DrawnFigure, Format, PlannedFigure, write_figure, write_index


@dataclass(frozen=True)
class Drawn:
    """The figures that were drawn, and those that were left out.

    Parameters
    ----------
    index : Path
        The page.
    figures : tuple of DrawnFigure
        Figures that were drawn.
    left_out : dict of str to str
        Kinds of figures that were left out: by title, what they need.
    """

    index: Path
    figures: tuple[DrawnFigure, ...]
    left_out: dict[str, str]


def draw(
    collection: RunCollection,
    folder: Path,
    *,
    formats: Sequence[Format],
    only: Sequence[str] | None = None,
    title: str = "Figures",
    tell: Callable[[PlannedFigure, int, int], None] | None = None,
) -> Drawn:
    """Draw all figures and write the page that shows them.

    Parameters
    ----------
    collection : RunCollection
        The runs.
    folder : Path
        The folder.
    formats : sequence of {"png", "svg", "html"}
        File formats of each figure.
    only : sequence of str, optional
        As for `insphere.experiments.plots.catalogue.plan`.
    title : str
        Heading of the page.
    tell : callable, optional
        Called before each figure with the figure, its number and the number of figures.
    """
    found, left_out = plan(collection, only)
    drawn = []
    for number, planned in enumerate(found, start=1):
        if tell is not None:
            tell(planned, number, len(found))
        drawn.append(write_figure(planned, folder, formats))
    shown = [one for one in drawn if one.files]
    left_out |= {one.planned.title: "png or svg" for one in drawn if not one.files}
    index = write_index(
        shown,
        folder,
        title=title,
        lead=sentence(collection.rows_of(collection.runs), collection.runs),
        left_out=[f"{what}: needs {needs}" for what, needs in left_out.items()],
    )
    return Drawn(index, tuple(shown), left_out)
