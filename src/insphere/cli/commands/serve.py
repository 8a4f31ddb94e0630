"""``insphere serve``: models behind an address."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from insphere.cli import console
from insphere.errors import SpecError, require

TOKEN = "INSPHERE_TOKEN"


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Folders of saved models, or files that insphere export wrote; NAME=PATH gives a "
            "name.",
            metavar="MODEL",
            show_default=False,
        ),
    ],
    *,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Any address other than that of this computer itself needs "
            f"a token, which is taken from {TOKEN} or made."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.", min=1, max=65535)] = 8422,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Most samples that are scored together (default: 256, fewer if they are large).",
            min=1,
            max=4096,
        ),
    ] = None,
    queue: Annotated[
        int,
        typer.Option(
            help="Samples that may wait for one model; beyond, requests are refused for a while.",
            min=1,
        ),
    ] = 2048,
    timeout: Annotated[
        float, typer.Option(help="Seconds after which a request is given up.", min=0.1)
    ] = 30.0,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads for scoring (default: one for each core).", min=1),
    ] = None,
    max_mb: Annotated[
        int, typer.Option(help="Largest size of a request, in megabytes.", min=1, max=4096)
    ] = 64,
) -> None:
    """Answer requests for scores over HTTP.

    POST an image, several, a zip of images, or rows of a table to /v1/models/NAME/score. Clients of
    KServe and Triton use /v2. /docs shows all addresses, /metrics what is measured. A model that is
    replaced on disk is taken up without losing a request.

    For example:

        insphere serve model
        insphere serve screws=model.onnx --host 0.0.0.0
    """
    for module in ("fastapi", "uvicorn", "orjson", "prometheus_client", "python_multipart"):
        require(module, "serve", "The server")
    from dataclasses import replace

    from insphere.resources import usable_cores
    from insphere.server.run import make_app, model_paths, run
    from insphere.server.settings import ServerSettings
    from insphere.web.place import find_place

    settings = ServerSettings()
    cores = usable_cores()
    settings = replace(
        settings,
        batch=batch, queue=queue, timeout=timeout, threads=threads or cores, decoders=cores,
        limits=replace(settings.limits, bytes=max_mb * 1_000_000),
    )  # fmt: skip
    paths = model_paths(models)
    if settings.threads > 4 * cores:
        raise SpecError(f"--threads is at most {4 * cores} on {cores} cores.")
    place = find_place(host, port, "The server")
    given = os.environ.get(TOKEN)
    token = given or place.token
    app = make_app(paths, settings, token)
    shown = f"[{host}]" if ":" in host else host
    console.say(f"Serving {', '.join(paths)} at http://{shown}:{port}/docs", "bold")
    if token and not given:
        console.say(f"Requests need the header: Authorization: Bearer {token}")
    run(app, host, port, settings)
