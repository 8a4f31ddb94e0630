"""The addresses of a server: scoring, the Open Inference Protocol v2, and measurements."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from insphere._version import __version__
from insphere.errors import DataError, InsphereError
from insphere.runtime.scorer import Scores
from insphere.server import protocol
from insphere.server.decoding import (
    Given,
    decode_files,
    decode_json,
    heat_png,
    is_small,
    multipart_files,
)
from insphere.server.engines import Engine
from insphere.server.measured import OPEN_PATHS, Measured
from insphere.server.metrics import Metrics
from insphere.server.models import Models, ServedModel
from insphere.server.service import Refused, Service
from insphere.server.settings import ServerSettings
from insphere.web.access import Guard

log = logging.getLogger("insphere.server")
FEW = 64
FIELDS = ("name", "score", "verdict", "p_value", "severity", "z_score")
_MARGIN = 100_000  # bytes around the files of a multipart body
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "rows": {"type": "array", "items": {"type": "array"}},
                        "images": {"type": "array", "items": {"type": "string"}},
                    },
                }
            },
        },
    }
}


def build_app(
    models: Models, metrics: Metrics, settings: ServerSettings, token: str | None
) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    models : Models
        Loaded.
    metrics : Metrics
        Of the same server.
    settings : ServerSettings
        Limits.
    token : str or None
        What a request needs in its header ``Authorization: Bearer``; None accepts all that name a
        local host.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await models.start()
        yield
        await models.stop()

    app = FastAPI(
        title="insphere",
        version=__version__,
        summary="Anomaly scores of images and tables.",
        lifespan=life,
        docs_url="/docs",
        redoc_url=None,
    )
    guard: Any = Guard
    app.add_middleware(
        guard, token=token, limit=settings.limits.bytes + _MARGIN, program="server", as_json=True,
        open_paths=OPEN_PATHS,
    )  # fmt: skip
    _answer_errors(app)
    measured: Any = Measured
    app.add_middleware(measured, metrics=metrics, settings=settings)
    service = Service(models, settings)
    _register(app, service)
    protocol.register(app, service)

    @app.get("/metrics", include_in_schema=False)
    async def measurements() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app


def _register(app: FastAPI, service: Service) -> None:
    """Add the addresses of version 1."""

    @app.get("/v1/models", summary="The models")
    async def list_models() -> dict[str, Any]:
        return {"models": [_about(model) for model in service.models.by_name.values()]}

    @app.get("/v1/models/{name}", summary="One model")
    async def one_model(name: str) -> dict[str, Any]:
        return _about(service.model(name))

    @app.post(
        "/v1/models/{name}/score",
        summary="Score an image, several, a zip of images, or rows of a table",
        openapi_extra=_BODY,
    )
    async def score(name: str, request: Request) -> Response:
        model = service.model(name)
        asked = _asked(request)
        body = await service.body(request)
        decode = partial(
            _decode, request.headers.get("content-type", ""), body, model.engine,
            service.settings,
        )  # fmt: skip
        given: Given = decode() if is_small(body) else await service.decoded(decode)
        maps = asked["heat_map"] and model.engine.has_maps
        engine, found = await service.scored(model, given.samples, maps=maps)
        request.state.samples = len(given.names)
        answer = partial(_answer, engine, found, given.names, asked["threshold"], maps)
        few = len(given.names) <= FEW and not maps  # a thread would take longer than the answer
        found_json: bytes = answer() if few else await service.decoded(answer)
        return Response(found_json, media_type="application/json")


def _decode(kind: str, body: bytes, engine: Engine, settings: ServerSettings) -> Given:
    """Decode a body by its content type."""
    essence = kind.partition(";")[0].strip().lower()
    if essence == "multipart/form-data":
        return decode_files(multipart_files(kind, body), engine, settings.limits)
    if essence == "application/json":
        return decode_json(body, engine, settings.limits)
    return decode_files([("", body)], engine, settings.limits)


def _asked(request: Request) -> dict[str, Any]:
    """Return the settings in the address."""
    given = dict(request.query_params)
    threshold: float | None = None
    if "threshold" in given:
        try:
            threshold = float(given["threshold"])
        except ValueError:
            threshold = float("nan")
        if not abs(threshold) < float("inf"):
            raise Refused(422, "threshold is a number.")
    heat = given.get("heat_map", "false").lower()
    if heat not in ("true", "false", "1", "0"):
        raise Refused(422, "heat_map is true or false.")
    unknown = sorted(set(given) - {"threshold", "heat_map", "token"})
    if unknown:
        raise Refused(422, f"Unknown setting {unknown[0][:60]!r}: use threshold or heat_map.")
    return {"threshold": threshold, "heat_map": heat in ("true", "1")}


def _answer(
    engine: Engine, found: Scores, names: list[str], threshold: float | None, maps: bool
) -> bytes:
    """Return the answer to a scoring request, as JSON."""
    if threshold is None:
        threshold = engine.description.threshold
        verdicts = found.verdicts
    else:
        verdicts = found.scores > threshold
    nothing = [None] * len(names)
    words = None if verdicts is None else np.where(verdicts, "anomalous", "normal")
    columns = [
        nothing if values is None else values.tolist()
        for values in (found.scores, words, found.p_values, found.severities, found.z_scores)
    ]
    results: list[dict[str, Any]] = [
        dict(zip(FIELDS, row, strict=True)) for row in zip(names, *columns, strict=True)
    ]
    if maps and found.heat_maps is not None:
        for one, heat in zip(results, found.heat_maps, strict=True):
            one["heat_map"], one["heat_map_top"] = heat_png(heat)
    answer = {
        "model": engine.name,
        "version": engine.version,
        "threshold": threshold,
        "results": results,
    }
    return orjson.dumps(answer)


def _about(model: ServedModel) -> dict[str, Any]:
    said = model.engine.description
    return {
        "name": model.name,
        "version": model.engine.version,
        "method": said.title,
        "kind": said.kind,
        "shape": said.shape,
        "dtype": said.dtype,
        "columns": said.columns,
        "threshold": said.threshold,
        "guarantee": said.guarantee,
        "calibrated": bool(said.calibration_scores),
        "heat_map": model.engine.has_maps,
    }


def _answer_errors(app: FastAPI) -> None:
    """Say every mistake in one sentence."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        return JSONResponse({"error": error.said}, error.status, headers=error.headers)

    async def unusable(request: Request, error: Exception) -> JSONResponse:
        status = 422 if isinstance(error, DataError) else 400
        return JSONResponse({"error": str(error)}, status)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "The request does not fit this address."}, 422)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        said = {404: "There is nothing at this address.", 405: "This address takes another method."}
        text = said.get(error.status_code, str(error.detail))
        return JSONResponse({"error": text}, error.status_code, headers=error.headers)

    async def fault(request: Request, error: Exception) -> JSONResponse:
        log.error("fault", exc_info=error)
        return JSONResponse({"error": "The server has a fault; its log says more."}, 500)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(InsphereError, unusable)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, fault)


class JsonLines(logging.Formatter):
    """A log record as one JSON object on a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps({k: v for k, v in said.items() if v is not None}, ensure_ascii=False)
