"""A folder of figures, and the page that shows them with what they were drawn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from insphere.atomic import write_whole
from insphere.errors import InsphereError
from insphere.figures.export import to_png, to_svg

Format = Literal["png", "svg", "html"]
FORMATS: tuple[Format, ...] = ("png", "svg", "html")
INDEX = "index.html"


@dataclass(frozen=True)
class FigureSource:
    """Runs on one dataset that differ in nothing but class and seed.

    Parameters
    ----------
    dataset, option : str
        Where, and what was run, as the figure calls it.
    method, params : str
        The method and its parameters in words.
    classes : int
        Number of normal classes.
    seeds : tuple of int
        Their seeds.
    runs : int
        Number of runs.
    versions : str
        Versions of the software in words.
    """

    dataset: str
    option: str
    method: str
    params: str
    classes: int
    seeds: tuple[int, ...]
    runs: int
    versions: str


@dataclass(frozen=True)
class PlannedFigure:
    """One figure of the folder.

    Parameters
    ----------
    name : str
        Name of its files, without the ending: small letters, digits and hyphens.
    title : str
        Its heading.
    caption : str
        What it shows.
    origin : str
        From which runs, in a sentence.
    draw : callable
        Returns the printed figure.
    screen : callable, optional
        Returns the Plotly figure.
    sources : tuple of FigureSource
        From which runs, in full.
    """

    name: str
    title: str
    caption: str
    origin: str
    draw: Callable[[], Figure]
    screen: Callable[[], Any] | None = None
    sources: tuple[FigureSource, ...] = field(default=())


@dataclass(frozen=True)
class DrawnFigure:
    """A figure that was drawn.

    Parameters
    ----------
    planned : PlannedFigure
        What it is.
    files : tuple of str
        Its files, by name, in the order of `FORMATS`.
    """

    planned: PlannedFigure
    files: tuple[str, ...]

    @property
    def picture(self) -> str | None:
        """The file to show in the page: SVG where there is one, else PNG."""
        kinds = {file.rsplit(".", 1)[1]: file for file in self.files}
        return kinds.get("svg") or kinds.get("png")

    @property
    def screen(self) -> str | None:
        """The page with the Plotly figure."""
        return next((file for file in self.files if file.endswith(".html")), None)


def write_figure(planned: PlannedFigure, folder: Path, formats: Sequence[Format]) -> DrawnFigure:
    """Draw one figure and write its files, each whole or not at all.

    Parameters
    ----------
    planned : PlannedFigure
        What to draw.
    folder : Path
        Where to; made if it is not there.
    formats : sequence of {"png", "svg", "html"}
        Which files. Figures without a Plotly counterpart have no HTML.

    Raises
    ------
    InsphereError
        If a file cannot be written.
    """
    files = []
    printed = planned.draw() if {"png", "svg"} & set(formats) else None
    for kind in FORMATS:
        if kind not in formats:
            continue
        if kind == "html":
            if planned.screen is None:
                continue
            content = _screen(planned, folder)
        elif printed is not None:
            content = to_png(printed) if kind == "png" else to_svg(printed)
        write_whole(folder / f"{planned.name}.{kind}", content)
        files.append(f"{planned.name}.{kind}")
    return DrawnFigure(planned, tuple(files))


def _screen(planned: PlannedFigure, folder: Path) -> bytes:
    from insphere.figures.interactive import export

    script = folder / export.SCRIPT
    wanted = export.script()
    if not script.is_file() or script.read_bytes() != wanted:
        write_whole(script, wanted)
    return export.to_html(planned.screen(), planned.name) if planned.screen is not None else b""


def write_index(
    figures: Sequence[DrawnFigure],
    folder: Path,
    *,
    title: str,
    lead: str,
    left_out: Sequence[str] = (),
) -> Path:
    """Write the page that shows all figures of a folder.

    Parameters
    ----------
    figures : sequence of DrawnFigure
        What was drawn.
    folder : Path
        Where it was drawn to.
    title, lead : str
        Heading, and a sentence below it.
    left_out : sequence of str
        Figures that were not drawn, each with what it needs.

    Raises
    ------
    InsphereError
        If the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("insphere.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("gallery.html").render(
        figures=figures, title=title, lead=lead, left_out=left_out
    )
    path = folder / INDEX
    write_whole(path, page, "The page")
    return path


def check_formats(text: str) -> list[Format]:
    """Read a list of formats such as "png,svg".

    Raises
    ------
    InsphereError
        If one is unknown.
    """
    given = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [part for part in given if part not in FORMATS]
    if unknown or not given:
        raise InsphereError(
            f"{', '.join(unknown) or 'Nothing'} is no format of figures; use one or more of "
            f"{', '.join(FORMATS)}."
        )
    return [kind for kind in FORMATS if kind in given]
