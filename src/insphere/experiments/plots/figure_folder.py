"""All figures that a collection of runs suffices for, drawn into a folder with a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from insphere.experiments.analysis.run_collection import Material
from insphere.experiments.plots.captions import sentence
from insphere.experiments.plots.catalogue import plan
from insphere.report.gallery import Format, Hung, Plate, hang, write_index


@dataclass(frozen=True)
class Drawn:
    """What became of a file of runs.

    Parameters
    ----------
    index : Path
        The page.
    hung : tuple of Hung
        Figures that were drawn.
    left_out : dict of str to str
        Kinds of figures that were not, by their title, with what they need.
    """

    index: Path
    hung: tuple[Hung, ...]
    left_out: dict[str, str]


def draw(
    material: Material,
    folder: Path,
    *,
    formats: Sequence[Format],
    only: Sequence[str] | None = None,
    title: str = "Figures",
    tell: Callable[[Plate, int, int], None] | None = None,
) -> Drawn:
    """Draw all figures and write the page that shows them.

    Parameters
    ----------
    material : Material
        What to draw from.
    folder : Path
        Where to.
    formats : sequence of {"png", "svg", "html"}
        Which files of each figure.
    only : sequence of str, optional
        As for `insphere.experiments.plots.catalogue.plan`.
    title : str
        Heading of the page.
    tell : callable, optional
        Called before each figure with the figure, its number and how many there are.
    """
    found, left_out = plan(material, only)
    hung = []
    for number, plate in enumerate(found, start=1):
        if tell is not None:
            tell(plate, number, len(found))
        hung.append(hang(plate, folder, formats))
    shown = [one for one in hung if one.files]
    left_out |= {one.plate.title: "png or svg" for one in hung if not one.files}
    index = write_index(
        shown,
        folder,
        title=title,
        lead=sentence(material.rows_of(material.runs), material.runs),
        left_out=[f"{what}: needs {needs}" for what, needs in left_out.items()],
    )
    return Drawn(index, tuple(shown), left_out)
