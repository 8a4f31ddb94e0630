"""``insphere figures``: draw what finished runs suffice for."""

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
            help="JSONL files of rows, or stores of sweeps.", metavar="FILE", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for figures and page.", show_default=False)
    ],
    formats: Annotated[
        str, typer.Option(help="Which files of each figure.", metavar="LIST")
    ] = "png,svg,html",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="Draw only this kind, or this figure; may be repeated.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="What others are compared with (default: plain Deep SVDD).",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw figures of finished runs into a folder, with a page that shows them.

    Figures for which the runs do not suffice are left out, and what they need is said. Curves,
    scores and training need the store of a sweep; the latent space needs models (sweep run
    --save-models), images need the dataset.
    """  # fmt: skip
    from insphere.experiments.analysis.run_collection import read_collection
    from insphere.experiments.plots.captions import counted
    from insphere.experiments.plots.figure_folder import draw
    from insphere.report.gallery import check_formats

    kinds = check_formats(formats)
    require("seaborn", "figures", "Drawing figures")
    if "html" in kinds:
        require("plotly", "figures", "Drawing interactive figures")
    collection = read_collection(files, baseline)

    def tell(planned: PlannedFigure, number: int, total: int) -> None:
        console.note(f"{number}/{total} {planned.name}")

    drawn = draw(
        collection,
        out,
        formats=kinds,
        only=only,
        title=f"Figures of {counted(len(collection.rows), 'run')}",
        tell=None if quiet or as_json else tell,
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
            told = [
                f"{', '.join(what for what, why in drawn.left_out.items() if why == need)} "
                f"(for want of {need})"
                for need in needs
            ]
            console.say(f"Left out: {'; '.join(told)}.")
