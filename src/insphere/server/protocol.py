"""The Open Inference Protocol, version 2, as KServe, Triton and OpenVINO's server speak it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from insphere._version import __version__
from insphere.errors import DataError
from insphere.runtime.scorer import Scores
from insphere.server.decoding import (
    OF_NUMPY,
    as_binary,
    decode_tensor,
    parse_object,
    split_binary,
)
from insphere.server.engines import Engine, Samples
from insphere.server.service import Refused, Service
from insphere.server.settings import ServerSettings

SMALL_JSON, SMALL_BINARY = 16_384, 1_000_000
FEW = 256
LENGTH = "inference-header-content-length"


def register(app: FastAPI, service: Service) -> None:
    """Add the addresses of the protocol."""
    models = service.models

    @app.get("/v2", summary="The server")
    async def server() -> dict[str, Any]:
        return {"name": "insphere", "version": __version__, "extensions": ["binary_tensor_data"]}

    @app.get("/v2/health/live", summary="Whether the server runs")
    async def live() -> dict[str, Any]:
        return {"live": True}

    @app.get("/v2/health/ready", summary="Whether the models are loaded")
    async def ready() -> JSONResponse:
        return JSONResponse({"ready": models.ready}, 200 if models.ready else 503)

    @app.get("/v2/models/{name}", summary="Inputs and outputs of a model")
    @app.get("/v2/models/{name}/versions/{version}", include_in_schema=False)
    async def metadata(name: str, version: str | None = None) -> dict[str, Any]:
        return _metadata(_version(service, name, version))

    @app.get("/v2/models/{name}/ready", summary="Whether a model is loaded")
    @app.get("/v2/models/{name}/versions/{version}/ready", include_in_schema=False)
    async def model_ready(name: str, version: str | None = None) -> dict[str, Any]:
        return {"name": _version(service, name, version).name, "ready": models.ready}

    @app.post("/v2/models/{name}/infer", summary="Score a tensor of samples")
    @app.post("/v2/models/{name}/versions/{version}/infer", include_in_schema=False)
    async def infer(name: str, request: Request, version: str | None = None) -> Response:
        model = service.model(name)
        _version(service, name, version)
        body = await service.body(request)
        length = request.headers.get(LENGTH)
        decode = partial(_decode, body, length, model.engine, service.settings)
        # Binary tensors are only copied, which takes less time than another thread does.
        quick = len(body) <= (SMALL_JSON if length is None else SMALL_BINARY)
        asked, samples = decode() if quick else await service.decoded(decode)
        wanted = _wanted(asked, model.engine)
        maps = any(one["name"] == "heat_map" for one in wanted)
        engine, found = await service.scored(model, samples, maps=maps)
        request.state.samples = len(samples)
        answer = partial(_answer, engine, found, asked, wanted)
        few = len(samples) <= FEW and not maps
        answered: Response = answer() if few else await service.decoded(answer)
        return answered


def _version(service: Service, name: str, version: str | None) -> Engine:
    engine = service.model(name).engine
    if version not in (None, engine.version):
        raise Refused(404, f"The model has the version {engine.version} now.")
    return engine


def _outputs(engine: Engine) -> dict[str, tuple[str, list[int]]]:
    """Return datatype and shape of each output."""
    said = engine.description
    found = {"score": ("FP64", [-1])}
    if said.threshold is not None:
        found["verdict"] = ("BOOL", [-1])
    if said.calibration_scores:
        found |= {"p_value": ("FP64", [-1]), "severity": ("FP64", [-1])}
    found["z_score"] = ("FP64", [-1])
    if engine.has_maps:
        found["heat_map"] = ("FP32", [-1, *said.shape[:2]])
    return found


def _metadata(engine: Engine) -> dict[str, Any]:
    said = engine.description
    return {
        "name": engine.name,
        "versions": [engine.version],
        "platform": "insphere",
        "inputs": [
            {
                "name": "images" if said.kind == "images" else "rows",
                "datatype": OF_NUMPY[said.dtype],
                "shape": [-1, *said.shape],
            }
        ],
        "outputs": [
            {"name": name, "datatype": kind, "shape": shape}
            for name, (kind, shape) in _outputs(engine).items()
        ],
    }


def _decode(
    body: bytes, length: str | None, engine: Engine, settings: ServerSettings
) -> tuple[dict[str, Any], Samples]:
    """Return the JSON part of a request and its samples."""
    content, rest = (body, b"") if length is None else split_binary(body, length)
    if engine.frames:
        raise DataError("Rows of this model hold texts or gaps: send them to /v1 as JSON.")
    asked = parse_object(content)
    inputs = asked.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], Mapping):
        raise DataError("The request has one input in the list inputs.")
    given = inputs[0]
    name = "images" if engine.description.kind == "images" else "rows"
    if given.get("name") != name:
        raise DataError(f"The input is called {name}.")
    size = _parameters(given).get("binary_data_size")
    raw = None
    if size is not None:
        if not isinstance(size, int) or isinstance(size, bool) or size != len(rest):
            raise DataError("binary_data_size is not the size of the binary data.")
        raw = rest
    elif rest:
        raise DataError("There are binary data, but no input says that they are its own.")
    return asked, decode_tensor(given, raw, engine, settings.limits)


def _parameters(given: Mapping[str, Any]) -> Mapping[str, Any]:
    found = given.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise DataError("parameters is an object.")
    return found


def _wanted(asked: Mapping[str, Any], engine: Engine) -> list[dict[str, Any]]:
    """Return which outputs are asked for, and whether in binary; by default all but heat maps."""
    default = bool(_parameters(asked).get("binary_data_output", False))
    given = asked.get("outputs")
    known = _outputs(engine)
    if given is None or given == []:
        return [{"name": name, "binary": default} for name in known if name != "heat_map"]
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        raise DataError("outputs is a list of objects.")
    wanted = []
    for one in given:
        name = one.get("name")
        if name not in known:
            raise DataError(f"The outputs of this model are {', '.join(known)}.")
        binary = bool(_parameters(one).get("binary_data", default))
        wanted.append({"name": name, "binary": binary})
    return wanted


def _answer(
    engine: Engine, found: Scores, asked: Mapping[str, Any], wanted: list[dict[str, Any]]
) -> Response:
    values: dict[str, NDArray[Any] | None] = {
        "score": found.scores, "verdict": found.verdicts, "p_value": found.p_values,
        "severity": found.severities, "z_score": found.z_scores, "heat_map": found.heat_maps,
    }  # fmt: skip
    outputs, binary = [], []
    for one in wanted:
        tensor = values[one["name"]]
        assert tensor is not None  # `_wanted` offers those that there are
        tensor = np.asarray(tensor)
        described: dict[str, Any] = {
            "name": one["name"],
            "datatype": OF_NUMPY[tensor.dtype.name],
            "shape": list(tensor.shape),
        }
        if one["binary"]:
            raw = as_binary(tensor)
            described["parameters"] = {"binary_data_size": len(raw)}
            binary.append(raw)
        else:
            described["data"] = tensor.reshape(-1).tolist()
        outputs.append(described)
    answer = {"model_name": engine.name, "model_version": engine.version, "outputs": outputs}
    if isinstance(asked.get("id"), str):
        answer["id"] = asked["id"][:200]
    content = json.dumps(answer).encode()
    if not binary:
        return Response(content, media_type="application/json")
    headers = {"Inference-Header-Content-Length": str(len(content))}
    joined = b"".join([content, *binary])
    return Response(joined, media_type="application/octet-stream", headers=headers)
