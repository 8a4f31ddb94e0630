"""Nearest neighbours whose pixels may move, beside plain ones: ``python benchmarks/ruler.py SET``.

For each class one row is appended to ``results/ruler.jsonl``: the AUC of 2 nearest neighbours by
the image distortion model and by blurred pixels, on all training and test images. Started again, it
continues where it was stopped. Both are without chance, so there is one row for a class.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from sklearn.metrics import roc_auc_score

from insphere.data.load import load_dataset
from insphere.data.split import OneClassSplit
from insphere.detectors import KNNDetector
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.versions import versions

OUT = Path(__file__).parent / "results" / "ruler.jsonl"
RULERS = {"blurred": {"blur": 1.0}, "distortion": {"blur": 1.4, "distortion": 1}}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=["mnist", "fashion-mnist"])
    parser.add_argument("--classes", type=int, nargs="+", default=[8, 5, 3, 2, 9, 4, 7, 6, 0, 1])
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    data = load_dataset(given.dataset)
    done = {(row["set"], row["normal"]) for row in read_rows(given.out)}
    for name in (data.class_names[index] for index in given.classes):
        if (data.name, name) in done:
            continue
        split = OneClassSplit(data, name, random_state=0)
        found, seconds = {}, {}
        for ruler, options in RULERS.items():
            started = time.perf_counter()
            detector = KNNDetector(contamination=None, **options).fit(split.X_train)
            scores = detector.anomaly_score(split.X_test)
            seconds[ruler] = round(time.perf_counter() - started, 1)
            found[ruler] = round(float(roc_auc_score(split.truth, scores)), 5)
        row = {"set": data.name, "normal": name, "auc": found, "seconds": seconds}
        append_row(given.out, row | {"versions": versions()})
        print(row, flush=True)


if __name__ == "__main__":
    main()
