"""Running a server until it is told to stop."""

from __future__ import annotations

import gc
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI

from insphere.errors import SpecError
from insphere.server.app import JsonLines, build_app
from insphere.server.metrics import Metrics
from insphere.server.models import Models
from insphere.server.settings import ServerSettings

SWITCH_SECONDS = 0.0005
"""After which the scoring thread lets go of the interpreter; Python's default of 5 ms would be a
delay of each request that arrives while a batch is scored."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def model_paths(given: Sequence[str]) -> dict[str, Path]:
    """Return the models by name, given as paths or as ``NAME=PATH``.

    Raises
    ------
    SpecError
        If two have the same name, or one has no name that an address can hold.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals:
            name, path = Path(text).resolve().name.removesuffix(".onnx"), text
        if not NAME.fullmatch(name):
            raise SpecError(
                f"{name[:100]!r} cannot be the name of a model in an address: give it one with "
                "NAME=PATH."
            )
        if name in found:
            raise SpecError(f"Two models are called {name}: give one another name with NAME=PATH.")
        found[name] = Path(path)
    if not found:
        raise SpecError("Name at least one model to serve.")
    return found


def make_app(paths: dict[str, Path], settings: ServerSettings, token: str | None = None) -> FastAPI:
    """Load the models and return the application.

    Raises
    ------
    ModelError
        If a model cannot be loaded.
    """
    metrics = Metrics()
    return build_app(Models(paths, settings, metrics), metrics, settings, token)


def run(app: FastAPI, host: str, port: int, settings: ServerSettings) -> None:
    """Serve until SIGTERM or Ctrl-C, then answer what is in progress and end."""
    import uvicorn

    # What is loaded now stays: the collector need not walk through it while a request waits.
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    own = logging.getLogger("insphere.server")
    own.handlers, own.propagate = [handler], False
    own.setLevel(logging.INFO)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.stop_seconds),
        h11_max_incomplete_event_size=65536,
    )
