"""How far exported models are from their folders, and what the runtime takes.

``python benchmarks/export.py methods --data FOLDER`` fits every method to images of one class,
exports it and scores images of all classes both ways: MNIST digits, the photographs of magnetic
tiles, and a table of ADBench, as it is and with texts and gaps made of it. Networks score the
images a second time in other batches, which says how far the library is from itself. Methods with
labels see 20 anomalies, which are not scored. Rows go to results/export.jsonl, one a method,
settings and source; those that are there are kept.

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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insphere.data.load import load_dataset
from insphere.detectors.registry import METHODS, build_detector, detector_class
from insphere.export.exported import has_network
from insphere.export.golden import keep_golden, read_golden
from insphere.export.graph import export_onnx, load_for_export
from insphere.export.variants import to_variant
from insphere.export.verify import Comparison, compare, differences
from insphere.modalities.tables import Frame
from insphere.runtime import Scorer
from insphere.scoring import evaluate_scores
from machine import machine

RESULTS = Path(__file__).parent / "results"
EPOCHS = {
    "deep-svdd": 10, "fcdd": 10, "dcae": 10, "softmax": 5, "deep-sad": 10, "hsc": 10,
    "fcdd-labelled": 10, "segmentation": 10,
}  # fmt: skip
BRIEF = {
    "fcdd": {"epochs": 2, "pretrain_epochs": 1}, "segmentation": {"epochs": 2},
    "fcdd-labelled": {"epochs": 2, "pretrain_epochs": 1},
}  # fmt: skip
"""Of photographs: what is compared is the export, not how well a network was trained."""
SCORED = 2000
PHOTOS = (100, 200)  # of the magnetic tiles: normal ones for training, and scored ones
SMALLER = ("deep-svdd", "untrained", "fcdd", "dcae")  # networks of which smaller formats are made
KNOWN = 20  # anomalies that methods with labels see
RATE = 0.05
APART = 7  # images in each of the other batches
COMMAND = "PYTHONPATH=src python benchmarks/export.py"
DIGITS, TILES, PATCHED = "mnist-5k", "magnetic-tiles", "magnetic-tiles, 200 photographs"
LARGE, TABLE = "magnetic-tiles, enlarged to 1,152 pixels", "adbench cardio"
SEEN = {"scale": 1.0}, {"resolution": 64}
FAST = {"recipe": "fast"}
FEATURES = {"features": SEEN[1]}
MEMBERS = [{"method": "patch-gaussian", "params": SEEN[0]}, {"method": "knn"}]


class Job(NamedTuple):
    """What is fitted to a source: a method with other parameters than the defaults."""

    source: str
    method: str
    params: Mapping[str, Any] = {}
    said: str = ""


def jobs() -> list[Job]:
    """Return every method with every source that it takes, and some with other settings."""
    found = []
    for method in METHODS:
        card = detector_class(method).card
        if method == "anogan":
            continue
        if card.needs_pretrained and "images" in card.takes:
            own = detector_class(method)().get_params().get("scale") is not None
            found.append(Job(PATCHED, method, SEEN[0] if own else SEEN[1]))
            continue
        if method in ("deep-svdd", "untrained"):
            found.append(Job(DIGITS, method, FAST, "recipe fast"))
        elif "images" in card.takes and method not in ("segmentation", "combination"):
            found.append(Job(DIGITS, method))
        if card.family == "shallow" and "images" in card.takes:
            found.append(Job(TILES, method))
        if method in ("segmentation", "combination", "fcdd", "fcdd-labelled"):
            found.append(Job(PATCHED, method, BRIEF.get(method, {})))
        if "tables" in card.takes:
            found.append(Job(TABLE, method))
            if not (card.needs_labels or card.takes_anomalies):
                found.append(Job(f"{TABLE}, with texts and gaps", method))
    heads = ("centers", "ellipsoid", "mixture", "flow", "neighbors", "adaptive")
    return [
        *found,
        *(
            Job(DIGITS, "deep-svdd", {**FAST, "head": head}, f"recipe fast, head {head}")
            for head in heads
        ),
        Job(DIGITS, "deep-svdd", {"recipe": "best", "epochs": None}, "recipe best"),
        Job(PATCHED, "deep-svdd", {"recipe": "best", "epochs": None}, "recipe best"),
        Job(PATCHED, "knn", FEATURES, "on pretrained features"),
        Job(PATCHED, "combination", {"members": MEMBERS}, "Gaussian patches and pixels"),
        Job(PATCHED, "patch-gaussian", SEEN[0] | {"region": (0.1, 0.1, 0.9, 0.7)}, "in a region"),
        Job(PATCHED, "feature-mahalanobis", SEEN[1] | {"finetune": 1}, "fine-tuned"),
        Job(LARGE, "patch-gaussian", {"scale": 9.0}, "in tiles"),
    ]


def sources(data: Path, cache: Path) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield name, normal training samples, samples to score and the truth about them."""
    digits = load_dataset("mnist-5k", progress=False)
    three = digits.labels == digits.class_index("3")
    rows = np.flatnonzero(three)[: int(three.sum()) // 2]
    others = np.setdiff1d(np.arange(len(digits)), rows)
    others = others[np.linspace(0, len(others) - 1, SCORED).astype(int)]
    yield DIGITS, digits.images[rows], digits.images[others], ~three[others]
    tiles = cache / "magnetic-tiles"
    if not tiles.exists():
        with zipfile.ZipFile(data / "magnetic-tiles.zip") as archive:
            archive.extractall(cache)
    photos = load_dataset(tiles, size=64, channels=1, progress=False)
    test = np.asarray(photos.is_test)
    good = photos.labels == photos.class_index("good")
    images = np.asarray(photos.images)
    yield TILES, images[~test], images[test], ~good[test]
    few, scored = (
        _even(np.flatnonzero(part), n) for part, n in zip((~test, test), PHOTOS, strict=True)
    )
    yield PATCHED, images[few], images[scored], ~good[scored]
    photos = load_dataset(tiles, size=128, channels=1, progress=False)
    images = np.asarray(photos.images)
    yield LARGE, images[few[::4]], images[scored[::10]], ~good[scored[::10]]
    with zipfile.ZipFile(data / "adbench.zip") as archive, archive.open(_member(archive)) as file:
        found = np.load(file, allow_pickle=False)
        X, y = found["X"].astype(np.float64), found["y"].astype(bool)
    half = np.flatnonzero(~y)[::2]
    rest = np.setdiff1d(np.arange(len(X)), half)
    yield TABLE, X[half], X[rest], y[rest]
    frame = with_texts(X)
    yield f"{TABLE}, with texts and gaps", frame.take(half), frame.take(rest), y[rest]


def with_texts(X: Any) -> Frame:
    """Return a table whose first column is cut into four texts, and whose third has gaps."""
    columns = [np.array(column) for column in X.T]
    cuts = np.quantile(columns[0], (0.25, 0.5, 0.75))
    words = np.array(["low", "middle", "high", "highest"], dtype=object)
    columns[0] = words[np.searchsorted(cuts, columns[0])]
    columns[2][np.random.default_rng(0).random(len(X)) < 0.05] = np.nan
    return Frame(tuple(f"c{i}" for i in range(len(columns))), tuple(columns))


def _even(rows: Any, n: int) -> Any:
    return rows[np.linspace(0, len(rows) - 1, n).astype(int)]


def _member(archive: zipfile.ZipFile) -> str:
    return next(name for name in archive.namelist() if "cardio" in name.lower())


def methods(data: Path, cache: Path, chosen: Sequence[str], only: str) -> None:
    """Measure every job that has no row yet."""
    file = RESULTS / "export.jsonl"
    text = file.read_text("utf-8") if file.exists() else ""
    rows = [json.loads(line) for line in text.splitlines()]
    done = {(row["method"], row["source"], row.get("settings", "")) for row in rows}
    for source, train, scored, truth in sources(data, cache):
        for job in jobs():
            wanted = job.source == source and only in source and job.method in (chosen or METHODS)
            if not wanted or (job.method, source, job.said) in done:
                continue
            row = measured(job, train, scored, truth)
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
            found = {k: row[k] for k in ("method", "source", "settings", "largest", "changed")}
            print(found | {"apart": row["apart"]}, flush=True)


def measured(job: Job, train: Any, scored: Any, truth: Any) -> dict[str, Any]:
    """Fit, export and compare one method."""
    method = job.method
    card = detector_class(method).card
    params: dict[str, Any] = {"false_alarm_rate": RATE, "contamination": 0.05}
    if method in EPOCHS:
        params["epochs"] = EPOCHS[method]
    y = None
    if card.needs_labels or card.takes_anomalies:
        known = _even(np.flatnonzero(truth), KNOWN)
        y = np.repeat([0, 1 if card.needs_labels else -1], [len(train), KNOWN])
        train, rest = np.concatenate([train, scored[known]]), np.setdiff1d(range(len(truth)), known)
        scored, truth = scored[rest], truth[rest]
        if card.needs_labels:
            params["normal"] = [0]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        detector = build_detector(method, params | job.params, seed=0)
        (detector.fit(train) if y is None else detector.fit(train, y)).save(model)
        keep_golden(model, train)
        started = time.perf_counter()
        exported = export_onnx(model, Path(folder) / "model.onnx")
        seconds = time.perf_counter() - started
        content = exported.path.read_bytes()
        scorer, detector = Scorer(content), _computing(load_for_export(model))
        found = compare(scorer, detector, scored)
        scores = scorer.score(scored).scores
        auc = float(evaluate_scores(truth.astype(np.int64), scores).auc)
        row = {
            "method": method,
            "source": job.source,
            "settings": job.said,
            "n": len(scored),
            "bytes": exported.bytes,
            "export_seconds": round(seconds, 1),
            "auc": round(auc, 6),
            **_row(found),
            "apart": _apart(detector, scored),
            "rounded": _rounded(detector, scored),
            "variants": {},
            "command": f"{COMMAND} methods",
            "machine": machine("onnx", "onnxruntime", "onnxscript"),
        }
        golden = read_golden(model)
        images = not isinstance(scored, Frame) and scored.ndim == 4  # tables have float64
        if images and not job.said and (method in SMALLER or card.needs_pretrained):
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


def _parts(detector: Any) -> list[Any]:
    """Return a detector and what is inside it."""
    inside = getattr(detector, "features_", None), *getattr(detector, "members_", ())
    return [detector, *(one for one in inside if one is not None)]


def _computing(detector: Any) -> Any:
    """Let a detector compute all features, so that no batch gets those of another one."""
    for one in _parts(detector):
        if "cache" in one.get_params(deep=False):
            one.set_params(cache=False)
    return detector


def _rounded(detector: Any, scored: Any) -> dict[str, Any] | None:
    """Return what rounding pretrained features to float16, as earlier versions did, would do."""
    networks = [one._extractor for one in _parts(detector) if hasattr(one, "_extractor")]
    if not networks:
        return None
    whole = detector.anomaly_score(scored)
    for network in networks:
        network.rounded = True
    moved = differences(detector.anomaly_score(scored), whole, detector)
    apart = _apart(detector, scored)
    for network in networks:
        network.rounded = False
    return {"moved": float(moved.max()), "moved_median": float(np.median(moved)), "apart": apart}


def _apart(detector: Any, scored: Any) -> float | None:
    """Return the largest difference of the library's scores from those in other batches."""
    if not has_network(detector) or isinstance(scored, Frame):
        return None
    whole = detector.anomaly_score(scored)
    parts = [scored[start : start + APART] for start in range(0, len(scored), APART)]
    others = np.concatenate([detector.anomaly_score(part) for part in parts])
    return float(differences(others, whole, detector).max())


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
            own = {**FAST, "epochs": 2} if method == "deep-svdd" else {}
            params = {"false_alarm_rate": RATE, **own}
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
