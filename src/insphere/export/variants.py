"""Smaller number formats of the network in an exported model: float16, and int8.

Only the weights and values of the network change their format. Calibration, decisions and what is
computed in float64 stay as they are. So a variant keeps the threshold that the float32 scores were
calibrated to, and what it costs has to be measured; see `insphere.export.verify`.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from insphere.errors import ModelError
from insphere.export.merged_bands import merge_bands
from insphere.runtime.description import KEY, Description

Variant = Literal["float16", "int8"]
NETWORK = ("Conv", "Gemm", "MatMul", "ConvTranspose")
BATCH = 16


def to_variant(content: bytes, variant: Variant, samples: NDArray[Any]) -> bytes:
    """Return an exported model with its network in another number format.

    Parameters
    ----------
    content : bytes
        The exported model, float32.
    variant : {"float16", "int8"}
        "int8": weights and inputs of convolutions and dense layers, with ranges found on the
        samples.
    samples : ndarray, shape (n, H, W, C) or (n, d)
        Normal raw samples.

    Raises
    ------
    ModelError
        If the model has no network in float32.
    """
    import onnx

    model = onnx.load_from_string(content)
    if not network_nodes(model):
        raise ModelError(
            "This model has no network in float32 that another number format could make smaller; "
            "export it without."
        )
    merge_bands(model)
    changed = _float16(model) if variant == "float16" else _int8(model, samples)
    notes = {entry.key: entry.value for entry in changed.metadata_props}
    described = Description.of(notes or _notes(model), "The model")
    noted = _notes(model) | {KEY: json.dumps(replace(described, variant=variant).to_dict())}
    del changed.metadata_props[:]
    onnx.helper.set_model_props(changed, noted)
    smaller: bytes = changed.SerializeToString(deterministic=True)
    return smaller


def _notes(model: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def network_nodes(model: Any) -> list[str]:
    """Return the names of nodes that multiply by weights in float32."""
    from onnx import TensorProto

    single = {
        one.name: one for one in model.graph.initializer if one.data_type == TensorProto.FLOAT
    }
    return [
        node.name
        for node in model.graph.node
        if node.op_type in NETWORK
        and any(name in single and "resizing" not in name for name in node.input)
    ]


def _float16(model: Any) -> Any:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    wanted = set(network_nodes(model))
    others = [node.name for node in model.graph.node if node.name not in wanted]
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return convert_float_to_float16(copied, keep_io_types=True, node_block_list=others)


def _int8(model: Any, samples: NDArray[Any]) -> Any:
    import onnx
    import onnxruntime
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = _batches(samples, model.graph.input[0].name)

        def get_next(self) -> Any:
            return next(self.batches, None)

    wanted = network_nodes(model)
    with tempfile.TemporaryDirectory(prefix="insphere-int8-") as folder:
        source, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        root, level = logging.getLogger(), logging.getLogger().level
        root.setLevel(logging.ERROR)
        onnxruntime.set_default_logger_severity(3)
        try:
            quantize_static(
                source,
                target,
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
                nodes_to_quantize=wanted,
                op_types_to_quantize=list(NETWORK),
            )
        finally:
            root.setLevel(level)
            onnxruntime.set_default_logger_severity(2)
        return onnx.load(target)


def _batches(samples: NDArray[Any], name: str) -> Iterator[dict[str, Any]]:
    for start in range(0, len(samples), BATCH):
        yield {name: np.ascontiguousarray(samples[start : start + BATCH])}
