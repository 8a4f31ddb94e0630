"""How far exported models are from their folders, and what the runtime takes.

``python benchmarks/export.py methods --data FOLDER`` fits every method to images of one class,
exports it and scores images of all classes both ways: MNIST digits, the photographs of magnetic
tiles, and a table of ADBench, as it is and with texts and gaps made of it. Rows go to
results/export.jsonl, one a method and source; those that are there are kept.

``python benchmarks/export.py runtime`` measures, in processes of their own, import and first score,
images a second of runtime and library, and the size of an environment that holds the runtime alone.
Rows go to results/runtime.jsonl.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from insphere.data.load import load_dataset
from insphere.detectors.registry import METHODS, build_detector, detector_class
from insphere.export.golden import keep_golden, read_golden
from insphere.export.graph import export_onnx, load_for_export
from insphere.export.variants import to_variant
from insphere.export.verify import Comparison, compare
from insphere.modalities.tables import Frame
from insphere.runtime import Scorer
from insphere.scoring import evaluate_scores
from machine import machine

RESULTS = Path(__file__).parent / "results"
EPOCHS = {"deep-svdd": 10, "fcdd": 10, "dcae": 10, "softmax": 5}
RESOLUTION = 64
SCORED = 2000
RATE = 0.05
COMMAND = "PYTHONPATH=src python benchmarks/export.py"


def sources(data: Path, cache: Path) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield name, normal training samples, samples to score and the truth about them."""
    digits = load_dataset("mnist-5k", progress=False)
    three = digits.labels == digits.class_index("3")
    rows = np.flatnonzero(three)[: int(three.sum()) // 2]
    others = np.setdiff1d(np.arange(len(digits)), rows)
    others = others[np.linspace(0, len(others) - 1, SCORED).astype(int)]
    yield "mnist-5k", digits.images[rows], digits.images[others], ~three[others]
    tiles = cache / "magnetic-tiles"
    if not tiles.exists():
        with zipfile.ZipFile(data / "magnetic-tiles.zip") as archive:
            archive.extractall(cache)
    photos = load_dataset(tiles, size=64, channels=1, progress=False)
    test = np.asarray(photos.is_test)
    good = photos.labels == photos.class_index("good")
    images = np.asarray(photos.images)
    yield "magnetic-tiles", images[~test], images[test], ~good[test]
    with zipfile.ZipFile(data / "adbench.zip") as archive, archive.open(_member(archive)) as file:
        found = np.load(file, allow_pickle=False)
        X, y = found["X"].astype(np.float64), found["y"].astype(bool)
    half = np.flatnonzero(~y)[::2]
    rest = np.setdiff1d(np.arange(len(X)), half)
    yield "adbench cardio", X[half], X[rest], y[rest]
    frame = with_texts(X)
    yield "adbench cardio, with texts and gaps", frame.take(half), frame.take(rest), y[rest]


def with_texts(X: Any) -> Frame:
    """Return a table whose first column is cut into four texts, and whose third has gaps."""
    columns = [np.array(column) for column in X.T]
    cuts = np.quantile(columns[0], (0.25, 0.5, 0.75))
    words = np.array(["low", "middle", "high", "highest"], dtype=object)
    columns[0] = words[np.searchsorted(cuts, columns[0])]
    columns[2][np.random.default_rng(0).random(len(X)) < 0.05] = np.nan
    return Frame(tuple(f"c{i}" for i in range(len(columns))), tuple(columns))


def _member(archive: zipfile.ZipFile) -> str:
    return next(name for name in archive.namelist() if "cardio" in name.lower())


def methods(data: Path, cache: Path, chosen: Sequence[str], only: str) -> None:
    """Measure every method on every source that it takes."""
    file = RESULTS / "export.jsonl"
    done = set()
    if file.exists():
        done = {
            (row["method"], row["source"])
            for row in map(json.loads, file.read_text("utf-8").splitlines())
        }
    for source, train, scored, truth in sources(data, cache):
        kind = "tables" if isinstance(train, Frame) or train.ndim == 2 else "images"
        if only not in source:
            continue
        for method in chosen or METHODS:
            card = detector_class(method).card
            if method == "anogan" or card.needs_labels or kind not in card.takes:
                continue
            if (method, source) in done:
                continue
            row = measured(method, source, train, scored, truth)
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
            print(method, source, row["largest"], row["changed"], flush=True)


def measured(method: str, source: str, train: Any, scored: Any, truth: Any) -> dict[str, Any]:
    """Fit, export and compare one method."""
    card = detector_class(method).card
    params: dict[str, Any] = {"false_alarm_rate": RATE}
    if method in EPOCHS:
        params["epochs"] = EPOCHS[method]
    if card.needs_pretrained:
        own = detector_class(method)().get_params().get("scale") is not None
        side = min(train.shape[1:3])
        params |= {"scale": RESOLUTION / side} if own else {"resolution": RESOLUTION}
        rows = np.linspace(0, len(scored) - 1, SCORED // 4).astype(int)
        scored, truth = scored[rows], truth[rows]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        build_detector(method, params | {"contamination": 0.05}, seed=0).fit(train).save(model)
        keep_golden(model, train)
        started = time.perf_counter()
        exported = export_onnx(model, Path(folder) / "model.onnx")
        seconds = time.perf_counter() - started
        content = exported.path.read_bytes()
        scorer, detector = Scorer(content), load_for_export(model)
        found = compare(scorer, detector, scored)
        scores = scorer.score(scored).scores
        auc = float(evaluate_scores(truth.astype(np.int64), scores).auc)
        row = {
            "method": method,
            "source": source,
            "n": len(scored),
            "bytes": exported.bytes,
            "export_seconds": round(seconds, 1),
            "auc": round(auc, 6),
            **_row(found),
            "variants": {},
            "command": f"{COMMAND} methods",
            "machine": machine("onnx", "onnxruntime", "onnxscript"),
        }
        golden = read_golden(model)
        if method in EPOCHS or method == "untrained" or card.needs_pretrained:
            assert golden is not None
            for variant in ("float16", "int8"):
                smaller = to_variant(content, variant, scorer.samples(golden.samples))
                other = Scorer(smaller)
                now = other.score(scored).scores
                row["variants"][variant] = {
                    "bytes": len(smaller),
                    "auc_lost": round(
                        auc - float(evaluate_scores(truth.astype(np.int64), now).auc), 6
                    ),
                    **_row(compare(other, detector, scored)),
                }
    return row


def _row(found: Comparison) -> dict[str, Any]:
    return {
        "largest": found.largest,
        "tolerance": found.tolerance,
        "changed": len(found.changed),
        "on_threshold": found.on_threshold,
        "severity": found.severity,
        "heat_map": found.heat_map,
    }


FIRST = """
import sys, time
started = time.perf_counter()
import numpy as np
{imports}
images = np.load(sys.argv[2])
{first}
first = time.perf_counter() - started
n = 0
begun = time.perf_counter()
while time.perf_counter() - begun < 3:
    {score}
    n += len(images)
print(first, n / (time.perf_counter() - begun))
"""
WAYS = {
    "runtime": (
        "from insphere.runtime import Scorer",
        "model = Scorer(sys.argv[1] + '.onnx', threads=1); model.score(images[:1])",
        "model.score(images)",
    ),
    "library": (
        "import torch; torch.set_num_threads(1)\nfrom insphere.detectors import load_detector",
        "model = load_detector(sys.argv[1]); model.anomaly_score(images[:1])",
        "model.anomaly_score(images)",
    ),
}


def runtime() -> None:
    """Measure the runtime beside the library, and its environment."""
    file = RESULTS / "runtime.jsonl"
    rows = []
    digits = load_dataset("mnist-5k", progress=False)
    three = digits.labels == digits.class_index("3")
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        np.save(images, digits.images[:1024])
        for method in ("deep-svdd", "knn"):
            model = Path(folder) / method
            params = {"false_alarm_rate": RATE} | ({"epochs": 2} if method == "deep-svdd" else {})
            build_detector(method, params | {"contamination": 0.05}, seed=0).fit(
                digits.images[three]
            ).save(model)
            export_onnx(model, f"{model}.onnx", maps=False)
            for turn in range(2):
                for way, (imports, first, score) in WAYS.items():
                    code = FIRST.format(imports=imports, first=first, score=score)
                    command = [sys.executable, "-c", code, str(model), str(images)]
                    said = subprocess.run(command, capture_output=True, text=True, check=True)
                    seconds, speed = map(float, said.stdout.split())
                    rows.append(
                        {
                            "method": method, "way": way, "turn": turn, "threads": 1,
                            "import_and_first_score_seconds": round(seconds, 3),
                            "images_per_second": round(speed, 1),
                        }
                    )  # fmt: skip
                    print(rows[-1], flush=True)
        target = Path(folder) / "environment"
        packages = ["numpy", "onnxruntime", "pillow"]
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target)]
        subprocess.run([*command, *packages], check=True)
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        rows.append({"way": "environment", "packages": packages, "mb": round(size / 1e6, 1)})
    for row in rows:
        row |= {"command": f"{COMMAND} runtime", "machine": machine("onnxruntime")}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("methods", "runtime"))
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--methods", nargs="+", default=[], help="by default all")
    parser.add_argument("--source", default="", help="sources with this in their name")
    given = parser.parse_args()
    if given.part == "methods":
        methods(given.data, given.cache, given.methods, given.source)
    else:
        runtime()
