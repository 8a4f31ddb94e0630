"""Detectors of nodes beside controls: Cora and Citeseer, each class normal in turn.

Run ``python benchmarks/graphs.py --data FOLDER`` with citation-graphs.zip in the folder; rows are
appended to results/graphs.jsonl as they come, and what is there is not run again. Protocol: half of
the nodes of a class train; the other half and all nodes of other classes are the test. Each seed
splits anew. The controls look at the features of a node alone, or averaged over the node and its
neighbours: the mean cosine distance to 2 or 10 neighbours, and the Mahalanobis distance, with the
words as they are or weighted by how rare they are in the graph (TF-IDF).
"""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import normalize

from insphere.detectors.graphs.node_features import NodeScale
from insphere.detectors.registry import build_detector
from insphere.modalities.graphs.graph import Graph
from insphere.versions import versions
from missing_rows import arguments, measure_missing

RESULTS = Path(__file__).parent / "results" / "graphs.jsonl"
DETECTORS: dict[str, tuple[str, dict[str, Any]]] = {
    "graph-knn": ("graph-knn", {}),
    "ocgnn": ("ocgnn", {}),
    "ocgnn, sampled": ("ocgnn", {"neighbors": 5}),
    "ocgnn, untrained": ("ocgnn", {"epochs": 0}),
    "graph-knn, 1 step": ("graph-knn", {"steps": 1}),
    "graph-knn, 3 steps": ("graph-knn", {"steps": 3}),
    "graph-knn, 2 neighbours": ("graph-knn", {"n_neighbors": 2}),
}
CONTROLS = {
    f"{where}, {words}, {head}": (where, words, head)
    for where in ("node alone", "averaged")
    for words in ("plain", "tf-idf")
    for head in ("2-NN", "10-NN", "Mahalanobis")
}


def features(graph: Graph, where: str, words: str) -> Any:
    """Return features of length 1, weighted and averaged as a control has them."""
    rows = normalize(graph.features)
    if words == "tf-idf":
        rows = NodeScale.fitted(graph.features, np.arange(0), "tf-idf").take(graph.features)
    return normalize(graph.walk @ rows) if where == "averaged" else rows


def control(rows: Any, train: np.ndarray, test: np.ndarray, head: str) -> np.ndarray:
    """Score nodes by their features."""
    if head == "Mahalanobis":
        known, new = rows[train].toarray(), rows[test].toarray()
        center = known.mean(axis=0)
        _, s, v = np.linalg.svd(known - center, full_matrices=False)
        values = s**2 / len(known)
        z, added = (new - center) @ v.T, values.mean()
        rest = ((new - center) ** 2).sum(axis=1) - (z**2).sum(axis=1)
        scores: np.ndarray = (z**2 / (values + added)).sum(axis=1) + rest / added
        return scores
    k = int(head.partition("-")[0])
    alike = np.asarray((rows[test] @ rows[train].T).todense())
    return 1 - np.partition(alike, -k, axis=1)[:, -k:].mean(axis=1)


def read(content: bytes) -> tuple[Graph, np.ndarray]:
    """Return graph and labels."""
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        parts = (found["data"], found["indices"], found["indptr"])
        rows = sparse.csr_matrix(parts, shape=tuple(found["shape"]), dtype=np.float64)
        edges, labels = found["edges"], found["labels"]
    return Graph.of(rows, edges[edges[:, 0] != edges[:, 1]]), labels


def main() -> None:
    """Measure what is missing."""
    given = arguments(__doc__, [*DETECTORS, *CONTROLS], RESULTS)
    with zipfile.ZipFile(given.data / "citation-graphs.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".npz"))
        sets = {Path(name).stem: read(archive.read(name)) for name in names}
    measure_missing(given, sets, lambda name, seed: sets[name], measured)


def measured(
    title: str, seed: int, method: str, graph: Graph, labels: np.ndarray
) -> dict[str, Any]:
    """Fit and score one method, each class normal in turn."""
    aucs, started = [], time.perf_counter()
    rows = features(graph, *CONTROLS[method][:2]) if method in CONTROLS else None
    for normal in range(labels.max() + 1):
        own = np.random.default_rng([seed, normal]).permutation(np.flatnonzero(labels == normal))
        train = own[: len(own) // 2]
        test = np.concatenate([own[len(own) // 2 :], np.flatnonzero(labels != normal)])
        if method in CONTROLS:
            scores = control(rows, train, test, CONTROLS[method][2])
        else:
            name, params = DETECTORS[method]
            detector = build_detector(name, params | {"contamination": 0.05}, seed=seed).fit(
                graph.nodes(train)
            )
            scores = detector.anomaly_score(graph.nodes(test))
        aucs.append(round(float(roc_auc_score(labels[test] != normal, scores)), 5))
    return {
        "set": title,
        "seed": seed,
        "method": method,
        "auc": round(float(np.mean(aucs)), 5),
        "aucs": aucs,
        "seconds": round(time.perf_counter() - started, 2),
        "nodes": len(graph),
        "versions": versions(),
    }


if __name__ == "__main__":
    main()
