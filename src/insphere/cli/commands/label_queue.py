"""``insphere label-queue``: which images to label next."""

from __future__ import annotations

from typing import Annotated

import typer

from insphere.cli import console
from insphere.cli.options import Json, Model, Reading, Source, read_options, reads_images


@reads_images("size", "grey", "skip_bad", "follow_links")
def label_queue(
    model: Model,
    source: Source,
    *,
    count: Annotated[int, typer.Option("--count", help="Number of images.")] = 20,
    out: Annotated[
        str, typer.Option(help="File for the queue.", metavar="FILE.csv")
    ] = "label-queue.csv",
    reading: Reading,
    as_json: Json = False,
) -> None:
    """Choose the images whose labels would teach a model most.

    These are images near the threshold that are unlike each other. Write good or anomalous into
    the column review of the table. Then insphere fit … --anomalies label-queue.csv learns from
    the anomalous ones, and insphere refit adds the good ones.

    For example:

        insphere label-queue model photos/new --out queue.csv
        insphere fit photos/good --anomalies queue.csv --out better
    """
    from insphere.detectors import load_detector
    from insphere.workflows.label_queue import label_queue as choose
    from insphere.workflows.score_source import score_source

    scored = score_source(
        load_detector(model),
        source,
        read_options(reading),
        every_image=True,
        progress=False if as_json else None,
    )
    queue = choose(scored, count)
    queue.write(out)
    if as_json:
        console.print_json({"model": model, "out": out, "queue": queue.table()})
        return
    console.explain(
        f"{len(queue)} of {len(scored):,} {scored.detector.modality_.plural} to label, the most "
        f"useful first: {console.shown(out)}"
    )
    console.explain(
        "Write good or anomalous into the column review. Then: insphere fit GOOD-IMAGES "
        f"--anomalies {console.shown(out)}",
        style="dim",
    )
