"""``insphere studio``: insphere in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insphere.cli import console
from insphere.errors import DataError, SpecError, require

STORE = Path("runs.sqlite")


def studio(
    port: Annotated[int, typer.Option(help="Port; 0 takes any free one.", min=0, max=65535)] = 8421,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Any address other than that of this computer itself needs "
            "a token."
        ),
    ] = "127.0.0.1",
    store: Annotated[
        Path, typer.Option("--store", help="SQLite file in which runs are kept.", metavar="FILE")
    ] = STORE,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images that can be selected in the studio.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Number of trainings at a time (default: one for each core, at most 4)."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the browser, or not.")
    ] = True,
) -> None:
    """Open the studio: train, compare and inspect images in a browser.

    The studio runs on this computer and needs no network. Trainings continue when the page is
    closed. Ctrl-C ends the page.

    For example:

        insphere studio
        insphere studio --data photos --port 8000
    """
    for module in ("nicegui", "plotly", "sqlalchemy"):
        require(module, "studio", "The studio")
    from insphere.experiments.execution.backends import available_cores, thread_limit
    from insphere.studio.app_state import Studio
    from insphere.studio.server import serve
    from insphere.web.place import find_place

    if workers is not None and workers < 1:
        raise SpecError(f"--workers takes a whole number from 1 upwards, but got {workers}.")
    if data is not None and not data.is_dir():
        raise DataError(f"There is no folder {data}.")
    cores = available_cores()
    count = workers or min(cores, 4)
    threads = min(max(1, cores // count), thread_limit() or cores)
    place = find_place(host, port)
    opened = Studio(store, data, workers=count, threads=threads)

    def ready() -> None:
        console.say(f"The studio is at {place.address}", "bold")
        console.note(
            f"Runs are kept in {console.shown(store)}. Ctrl-C ends the page; trainings continue."
        )

    serve(opened, place, show=show, ready=ready)
