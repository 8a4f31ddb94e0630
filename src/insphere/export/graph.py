"""Writing a detector as one ONNX file: graph, calibration, names, versions and card."""

from __future__ import annotations

import json
import logging
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from insphere.atomic import write_atomic
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.model_folder import load_detector
from insphere.detectors.persistence.model_format import CARD, check_model_path
from insphere.errors import ModelError, SpecError, require
from insphere.export.describe import describe
from insphere.export.exported import ExportedModel, example
from insphere.runtime.description import CARD_KEY, KEY, Description

OPSET = 18
LARGEST = 2**31 - 2**24
"""Bytes that one file can hold; more needs files beside it, which a copy easily loses."""
EXTRA = "onnx"


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    bytes : int
        Its size.
    description : Description
        What it says of itself.
    """

    path: Path
    bytes: int
    description: Description


def require_onnx() -> None:
    """Raise MissingExtraError unless everything for exporting is installed."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, EXTRA, "Exporting to ONNX")


def load_for_export(model: str | PathLike[str]) -> OneClassDetector:
    """Load a model as it is exported: networks on the CPU and in float32.

    A processor with bfloat16 may score a little differently; float32 is what every machine has.
    """
    return load_detector(model, device="cpu", precision="float32")


def export_onnx(
    model: str | PathLike[str],
    path: str | PathLike[str],
    *,
    maps: bool = True,
    overwrite: bool = False,
) -> Exported:
    """Write a saved model as one ONNX file.

    Parameters
    ----------
    model : path
        The model folder.
    path : path
        The file to write.
    maps : bool, default=True
        Also compute heat maps, if the detector has a map of its own.
    overwrite : bool, default=False
        Replace a file that is there.

    Returns
    -------
    Exported

    Raises
    ------
    ModelError
        If the model cannot be read or exported; the message says why.
    SpecError
        If the file exists, or its name does not end in ``.onnx``.
    MissingExtraError
        If a package is missing.
    """
    target = check_target(path, overwrite=overwrite)
    require_onnx()
    detector = load_for_export(model)
    module = ExportedModel(detector, maps=maps)
    description = describe(
        detector,
        model,
        outputs=module.outputs,
        rounding=module.rounding,
        seen=module.seen,
    )
    description = replace(description, versions=description.versions | _versions())
    content = to_bytes(detector, module, description, card_of(model))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, content)
    return Exported(target, len(content), description)


def check_target(path: str | PathLike[str], *, overwrite: bool) -> Path:
    """Return the path of a file to write.

    Raises
    ------
    SpecError
        If the file exists, or its name does not end in ``.onnx``.
    """
    target = Path(path)
    if target.suffix != ".onnx":
        raise SpecError(f"The file for an exported model ends in .onnx, but got {target.name!r}.")
    if target.is_dir() or (target.exists() and not overwrite):
        raise SpecError(f"{target} exists already; choose another name, or add --overwrite.")
    return target


def card_of(model: str | PathLike[str]) -> str:
    """Return the card of a model folder; empty if it was removed."""
    file = check_model_path(model) / CARD
    return file.read_text("utf-8", errors="replace") if file.is_file() else ""


def to_bytes(
    detector: OneClassDetector, module: ExportedModel, description: Description, card: str
) -> bytes:
    """Return the file of an exported module, after checking it.

    Raises
    ------
    ModelError
        If it cannot be expressed in ONNX, or is larger than one file can be.
    """
    import onnx

    name = "images" if description.kind == "images" else "rows"
    arguments = (example(detector, 2), torch.tensor(float(detector.threshold_), dtype=torch.double))
    batches = {0: torch.export.Dim("N", min=1, max=1 << 24)}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                arguments,
                dynamo=True,
                dynamic_shapes=(batches, None),
                input_names=[name, "threshold"],
                output_names=module.outputs,
                opset_version=OPSET,
                verbose=False,
            )
        assert program is not None
        _store_once(program.model)
        model = program.model_proto
        _finish(model, float(detector.threshold_), description, card)
        content: bytes = model.SerializeToString(deterministic=True)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{description.detector} with these settings cannot be expressed in ONNX ({first}); "
            "score with the model folder instead."
        ) from error
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ModelError(
            f"{description.detector} with these settings is tied to one number of samples in ONNX; "
            "score with the model folder instead."
        )
    if len(content) > LARGEST:
        raise ModelError(
            f"The exported model would have {len(content) / 1e9:.1f} GB, more than the 2 GB of one "
            "ONNX file: fit the detector to fewer images or to smaller ones."
        )
    onnx.checker.check_model(content, full_check=True)
    return content


def _store_once(model: Any) -> None:
    """Let equal values, such as the vectors for a score and for its map, share one initialiser."""
    from onnx_ir.passes.common import DeduplicateInitializersPass

    DeduplicateInitializersPass(size_limit=LARGEST)(model)


def _finish(model: Any, threshold: float, description: Description, card: str) -> None:
    """Make the threshold optional, and exchange the exporter's notes for those of the model."""
    from onnx import TensorProto, helper

    default = helper.make_tensor("threshold", TensorProto.DOUBLE, [], [threshold])
    model.graph.initializer.append(default)
    model.producer_name, model.producer_version = "insphere", description.versions["insphere"]
    model.domain, model.doc_string = "", description.title
    model.graph.name, model.graph.doc_string = description.method, ""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:]
        for node in graph.node:  # they name the lines of source and paths of this machine
            node.doc_string = ""
            del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    notes = {KEY: json.dumps(description.to_dict(), allow_nan=False), CARD_KEY: card}
    helper.set_model_props(model, notes)


def _versions() -> dict[str, str]:
    found = {name: metadata.version(name) for name in ("torch", "onnx", "onnxscript")}
    return {f"exported with {name}": number for name, number in found.items()} | {
        "exported with insphere": metadata.version("insphere"),
        "exported with python": platform.python_version(),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the exporter says to its developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
