"""Graphs in files: arrays in .npz, nodes and edges in JSON, edges alone in CSV."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from insphere.data.files import read_regular
from insphere.data.npz import open_npz
from insphere.errors import DataError, SpecError
from insphere.modalities.graphs.graph import Graph
from insphere.modalities.graphs.graph_set import GraphSet
from insphere.modalities.tables.files import lines_of, text_of
from insphere.modalities.tables.numbers import is_missing, is_written_number

SPARSE = ("data", "indices", "indptr", "shape")
FEATURES, EDGES, LABELS = ("features", "x"), ("edges", "edge_index"), ("labels", "y")
"""Names of arrays; the second of each pair is that of PyTorch Geometric."""
ENDS = (("source", "target"), ("from", "to"), ("src", "dst"))
"""Names, in small letters, of the two columns of edges in a CSV file; else the first two."""
_HEAD = 4096


def looks_like_a_graph(source: str) -> bool:
    """Whether a path is surely one of a graph: .npz with edges, or JSON that begins with nodes."""
    path = Path(source)
    if path.suffix.lower() not in (".npz", ".json") or not path.is_file():
        return False
    try:
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as archive:
                return any(f"{name}.npy" in archive.namelist() for name in EDGES)
        return b'"nodes"' in read_regular(path, _HEAD)
    except (OSError, zipfile.BadZipFile):
        return False


def read_graph(source: str, columns: Mapping[str, str] | None = None) -> GraphSet:
    """Read a graph from a file.

    Parameters
    ----------
    source : str
        ``.npz``: `edges` (pairs of nodes), and `features` (dense) or the parts of a CSR matrix
        (`data`, `indices`, `indptr`, `shape`); perhaps `labels`, with −1 for nodes without one. The
        names of PyTorch Geometric, `x`, `edge_index` (2×E) and `y`, are known too.
        ``.json``: `nodes`, each with an `id`, perhaps a `label`, and numbers; and `edges` (or
        `links`): pairs of ids, or objects with `source` and `target`.
        ``.csv``, ``.tsv``: an edge on each line. The columns `source` and `target` (or from and to)
        name its ends, else the first two; others are not used, which is said.
    columns : mapping of str to str, optional
        "label": the array, or the field of each node, that says what nodes are. With a question
        mark at its end it may name one that is not there.

    Raises
    ------
    DataError
        If the file cannot be read, or holds no such graph.
    SpecError
        If there is no such role.
    """
    path = Path(source)
    roles = dict(columns or {})
    for role in roles:
        if role.removesuffix("?") != "label":
            raise SpecError(f"Nodes of a graph know the role label alone, but got {role}.")
    if path.suffix.lower() in (".csv", ".tsv"):
        if "label" in roles:
            raise DataError(f"{path} holds edges alone: leave out --label, or give JSON or .npz.")
        return _from_edges(path)
    if path.suffix.lower() not in (".npz", ".json"):
        raise DataError(
            f"{path} is no file of a graph: graphs are read from .npz, .json, or .csv with an edge "
            "on each line; open others with NetworkX and give the graph to fit in Python."
        )
    try:
        if path.suffix.lower() == ".npz":
            with open_npz(path) as archive:
                return _from_arrays(dict(archive), path, roles)
        return _from_json(json.loads(read_regular(path)), path, roles)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise DataError(f"{path} is damaged and holds no graph: save it again.") from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} holds no graph: {str(error).splitlines()[0]}.") from error


def _from_edges(path: Path) -> GraphSet:
    """Read a list of edges; a node is then described by those that it is connected with."""
    text = text_of(path)
    lines = lines_of(text, path)[1]
    head, rows = (lines[0][1] if lines else []), lines[1:]
    if len(head) < 2 or not rows or any(len(row) < len(head) for _, row in rows):
        raise DataError(
            f"{path} holds no edges: its first line names the columns, and each other line names "
            "the two ends of an edge."
        )
    names = [name.strip() for name in head]
    small = [name.lower() for name in names]
    first, second = next(
        ((small.index(a), small.index(b)) for a, b in ENDS if {a, b} <= set(small)), (0, 1)
    )
    pairs = [(row[first].strip(), row[second].strip()) for _, row in rows]
    ids = list(dict.fromkeys(end for pair in pairs for end in pair))
    places = {name: i for i, name in enumerate(ids)}
    if places.keys() >= {names[first], names[second]} or all(map(is_written_number, names[:2])):
        raise DataError(
            f"The first line of {path} holds an edge and not the names of columns: add a line such "
            "as source,target."
        )
    for (number, _), pair in zip(rows, pairs, strict=True):
        if any(map(is_missing, pair)):
            raise DataError(f"The edge in line {number:,} of {path} lacks an end: leave it out.")
    if len(names) > 2:
        left = [name for i, name in enumerate(names) if i not in (first, second)]
        _say_unused(path, "columns", left)
    edges = np.array([[places[a], places[b]] for a, b in pairs], np.int64)
    return labelled(Graph.of(len(ids), edges, ids, ids), None, path.stem)


def _say_unused(path: Path, what: str, names: Sequence[str]) -> None:
    some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    warnings.warn(
        f"The {what} {some} of {path.name} are not used: nodes are compared by numbers, and an "
        "edge has no weight.",
        stacklevel=2,
    )


def _label_name(
    names: Collection[str], roles: Mapping[str, str], usual: Sequence[str], path: Path
) -> str | None:
    """Return the array or field of labels."""
    named = roles.get("label")
    if named is not None and named not in names:
        raise DataError(f"{path} has no {named} for labels, but {', '.join(sorted(names)[:20])}.")
    candidates = (named, roles.get("label?"), *usual)
    return next((name for name in candidates if name is not None and name in names), None)


def _from_arrays(arrays: Mapping[str, Any], path: Path, roles: Mapping[str, str]) -> GraphSet:
    name = next((name for name in EDGES if name in arrays), None)
    if name is None:
        raise DataError(f"{path} holds no edges: save pairs of nodes as edges.")
    edges = np.asarray(arrays[name])
    if name == "edge_index" and edges.ndim == 2 and edges.shape[0] == 2:
        edges = edges.T
    label = _label_name(arrays.keys(), roles, LABELS, path)
    labels = None if label is None else arrays[label]
    dense = next((arrays[name] for name in FEATURES if name in arrays), None)
    if all(name in arrays for name in SPARSE):
        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        features: Any = sparse.csr_matrix(parts, shape=tuple(map(int, arrays["shape"])))
        features.check_format()
    elif dense is not None:
        features = np.asarray(dense)
        if features.dtype.kind not in "iufb":
            raise DataError(f"The features in {path} are {features.dtype}, not numbers.")
        features = features.astype(np.float64)
        if features.ndim != 2:
            raise DataError(f"The features in {path} are no table with a row for each node.")
    elif labels is not None:
        features = len(labels)
    else:
        features = int(np.max(edges, initial=-1)) + 1
    graph = Graph.of(features, edges)
    if labels is not None and np.size(labels) != len(graph):
        raise DataError(f"{path} has {len(graph):,} nodes but {np.size(labels):,} labels.")
    words = None if labels is None else [_label(value) for value in np.ravel(labels).tolist()]
    return labelled(graph, words, path.stem)


def _from_json(found: Any, path: Path, roles: Mapping[str, str]) -> GraphSet:
    nodes = found.get("nodes") if isinstance(found, dict) else None
    if not isinstance(nodes, list) or not nodes or not all(isinstance(n, dict) for n in nodes):
        raise DataError(f'{path} holds no graph: it needs "nodes", a list of objects, and "edges".')
    if not all(node.get("id") is not None for node in nodes):
        raise DataError(f"A node in {path} has no id: give each of them one.")
    ids = [str(node["id"]) for node in nodes]
    places = {name: i for i, name in enumerate(ids)}
    if len(places) < len(ids):
        raise DataError(f"Two nodes in {path} have the same id: give each its own.")
    names = dict.fromkeys(str(k) for node in nodes for k in node)
    label = _label_name(names, roles, ("label",), path)
    fields = [name for name in names if name not in ("id", label)]
    columns = [k for k in fields if any(_is_number(node.get(k)) for node in nodes)]
    if left := [k for k in fields if k not in columns]:
        _say_unused(path, "fields", left)
    for node in nodes:
        for name in columns:
            if not _is_number(node.get(name)):
                raise DataError(f"The node {node['id']} in {path} lacks a number for {name!r}.")
    edges = []
    for edge in found.get("edges", found.get("links", [])):
        ends = [edge.get("source"), edge.get("target")] if isinstance(edge, dict) else edge
        if not isinstance(ends, list) or len(ends) < 2:
            raise DataError(f"An edge in {path} is no pair of ids: {str(edge)[:80]}.")
        for end in ends[:2]:
            if str(end) not in places:
                raise DataError(f"An edge in {path} leads to the unknown node {str(end)[:80]!r}.")
        edges.append([places[str(end)] for end in ends[:2]])
    rows: Any = len(ids)
    if columns:
        rows = np.array([[float(node[name]) for name in columns] for node in nodes])
    graph = Graph.of(rows, np.array(edges, np.int64).reshape(-1, 2), ids, columns or ids)
    labels = [None if label is None else node.get(label) for node in nodes]
    words = [None if v is None else str(v) for v in labels]
    return labelled(graph, words if any(w is not None for w in words) else None, path.stem)


def labelled(graph: Graph, words: list[str | None] | None, name: str) -> GraphSet:
    """Return a graph with the labels of its nodes; nodes without one are left out of the set."""
    if words is None:
        every = np.arange(len(graph))
        return GraphSet(graph, every, np.zeros(len(graph), np.int64), ("normal",), name=name)
    known = [i for i, word in enumerate(words) if word is not None]
    classes = sorted({str(words[i]) for i in known})
    places = {word: i for i, word in enumerate(classes)}
    labels = np.array([places[str(words[i])] for i in known], np.int64)
    return GraphSet(graph, np.array(known, np.int64), labels, tuple(classes), name=name)


def _label(value: Any) -> str | None:
    """Return the class of a node; None where there is none: -1, NaN or an empty text."""
    if value in (-1, "", None) or value != value:
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
