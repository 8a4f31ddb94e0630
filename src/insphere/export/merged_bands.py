"""Convolutions that are taken in bands, as whole ones again, for smaller number formats.

Bands keep the last bits of float32 equal; see `insphere.nets.backbones.banded`. A smaller format
has no such bits: rounded by itself, each band would only add an error of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

ACTIVATIONS = {"Clip", "Relu"}
"""What exporters may take before the values are second again, of each value by itself."""


def merge_bands(model: Any) -> None:
    """Make whole convolutions of banded ones in an ONNX model, in place.

    A banded one is a convolution of groups, its values last, split in as many parts, which are
    added up from a bias on, and the values second again; before that, an activation may be taken.
    """
    import onnx

    graph = model.graph
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    stored = {one.name: one for one in graph.initializer}
    gone: list[Any] = []
    merged: dict[str, Any] = {}
    for conv in graph.node:
        chain = _chain(conv, readers)
        if not chain:
            continue
        split, first, last = chain[1], chain[2], chain[-1]
        bands, name = len(split.output), conv.input[1]
        activation = chain.pop(-2) if chain[-2].op_type in ACTIVATIONS else None
        bias = next(one for one in first.input if one not in split.output)
        if name not in merged:
            weight = onnx.numpy_helper.to_array(stored[name])
            parts = weight.reshape(bands, -1, *weight.shape[1:])
            whole = parts.swapaxes(0, 1).reshape(parts.shape[1], -1, *weight.shape[2:])
            merged[name] = onnx.numpy_helper.from_array(whole, f"{name}.whole")
        conv.input[1] = merged[name].name
        conv.input.append(bias)
        next(one for one in conv.attribute if one.name == "group").i = 1
        if activation is None:
            conv.output[0] = last.output[0]
        else:
            activation.input[0], activation.output[0] = conv.output[0], last.output[0]
        gone += chain
    for node in gone:
        graph.node.remove(node)
    graph.initializer.extend(merged.values())
    used = Counter(name for node in graph.node for name in node.input)
    for name in merged:
        if not used[name]:
            graph.initializer.remove(stored[name])
    if gone:
        del graph.value_info[:]


def _chain(conv: Any, readers: dict[str, list[Any]]) -> list[Any]:
    """Return the nodes that add up the bands of a convolution; none if it has none."""
    found: list[Any] = []
    node = conv
    while conv.op_type == "Conv" and len(conv.input) == 2 and len(readers[node.output[0]]) == 1:
        node = readers[node.output[0]][0]
        found.append(node)
        kinds = [one.op_type for one in found]
        if len(kinds) > 2 and kinds[-1] == "Transpose":
            summed = ["Transpose", "Split", *["Add"] * len(found[1].output)]
            between = kinds[len(summed) : -1]
            good = kinds[: len(summed)] == summed and len(between) <= 1
            return found if good and ACTIVATIONS.issuperset(between) else []
        if kinds[:2] != ["Transpose", "Split"][: len(kinds)]:
            return []
    return []
