"""``insphere figures``: all figures that finished runs allow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insphere.cli import console
from insphere.cli.options import Json, Quiet
from insphere.errors import require

if TYPE_CHECKING:
    from insphere.report.gallery import PlannedFigure


def figures(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Stores of sweeps (.sqlite), or files of results (.jsonl).",
            metavar="FILE",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for the figures and their page.", show_default=False
        ),
    ],
    formats: Annotated[
        str, typer.Option(help="File formats of each figure.", metavar="LIST")
    ] = "png,svg,html",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="Draw only this figure, or this kind of figure. Repeat it for several.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Name of the method with which others are compared (default: plain Deep SVDD).",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw figures of finished runs into a folder, with a page that shows them.

    A figure is left out if the runs lack something that it needs; the command then says what.
    Curves, scores and training histories need the store of a sweep. The latent space needs saved
    models (insphere sweep run --save-models). Images need the data set.

    For example:

        insphere figures runs.sqlite --out figures
        insphere figures rows.jsonl --out figures --formats svg --only heatmap
    """
    from insphere.experiments.analysis.run_collection import read_collection
    from insphere.experiments.plots.captions import counted
    from insphere.experiments.plots.figure_folder import draw
    from insphere.report.gallery import check_formats

    kinds = check_formats(formats)
    require("seaborn", "figures", "Drawing figures")
    if "html" in kinds:
        require("plotly", "figures", "Drawing interactive figures")
    collection = read_collection(files, baseline)

    def show(planned: PlannedFigure, number: int, total: int) -> None:
        console.note(f"{number}/{total} {planned.name}")

    drawn = draw(
        collection,
        out,
        formats=kinds,
        only=only,
        title=f"Figures of {counted(len(collection.rows), 'run')}",
        tell=None if quiet or as_json else show,
    )
    if as_json:
        console.print_json(
            {
                "index": str(drawn.index),
                "runs": len(collection.rows),
                "baseline": collection.baseline,
                "figures": [
                    {
                        "name": one.planned.name,
                        "title": one.planned.title,
                        "caption": f"{one.planned.caption} {one.planned.origin}",
                        "files": list(one.files),
                    }
                    for one in drawn.figures
                ],
                "left_out": drawn.left_out,
            }
        )
        return
    if not quiet:
        n = len(drawn.figures)
        verb = "is" if n == 1 else "are"
        console.say(f"{counted(n, 'figure')} {verb} in {console.shown(drawn.index)}.")
        if drawn.left_out:
            needs = dict.fromkeys(drawn.left_out.values())
            missing = [
                f"{', '.join(what for what, why in drawn.left_out.items() if why == need)} "
                f"(missing: {need})"
                for need in needs
            ]
            console.say(f"Left out: {'; '.join(missing)}.")
