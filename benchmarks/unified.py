"""Several classes normal at once: ``python benchmarks/unified.py --data FOLDER``.

The protocol of UniAD (You et al. 2022) on CIFAR-10 (cifar10-jpeg.zip in the folder): five classes
are normal, and all test images are scored, of which those of the other five are anomalous. Nearest
neighbours on pooled features of the packaged network: one memory for all classes, as `FeatureKNN`
has it, or one for each class in units of its radius, as with ``fit(X, y)``. Both need only the
features, so these are computed once (and kept in the cache), for the first images of each class.
One line for each split and form in ``results/unified.jsonl``.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from insphere.data.load import load_dataset
from insphere.detectors import PretrainedFeatures
from insphere.detectors.base.by_class import class_radius
from insphere.detectors.base.neighbors import mean_distance
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.versions import versions

ROWS = Path(__file__).parent / "results" / "unified.jsonl"
SPLITS = {"0-4": range(5), "5-9": range(5, 10), "even": range(0, 10, 2), "odd": range(1, 10, 2)}
FEATURES = {"resolution": 192, "resampling": "bilinear", "mirrored": True, "focus": 0.35}
NEIGHBORS = 10


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=5000, help="training images of each class")
    given = parser.parse_args()
    os.environ["INSPHERE_DATA"] = str(given.data)
    done = {(row["split"], row["by_class"], row["images"]) for row in read_rows(ROWS)}
    data = load_dataset("cifar10")
    assert data.is_test is not None
    component = PretrainedFeatures(**FEATURES).fit(data.images[:2])
    train = [
        component.transform(
            data.images[np.flatnonzero(~data.is_test & (data.labels == k))[: given.images]]
        )
        for k in range(10)
    ]
    test, label = component.transform(data.images[data.is_test]), data.labels[data.is_test]
    print("features are there", flush=True)
    for split, classes in SPLITS.items():
        truth = ~np.isin(label, list(classes))
        for by_class in (False, True):
            if (split, by_class, given.images) in done:
                continue
            started = time.perf_counter()
            if by_class:
                scores = np.min(
                    [
                        mean_distance(train[k], test, NEIGHBORS)
                        / class_radius(mean_distance(train[k], None, NEIGHBORS))
                        for k in classes
                    ],
                    axis=0,
                )
            else:
                scores = mean_distance(np.concatenate([train[k] for k in classes]), test, NEIGHBORS)
            row = {
                "split": split,
                "by_class": by_class,
                "images": given.images,
                "auc": round(float(roc_auc_score(truth, scores)), 5),
                "seconds": round(time.perf_counter() - started, 1),
                "features": FEATURES,
                "versions": versions(),
            }
            append_row(ROWS, row)
            print(split, by_class, row["auc"], flush=True)


if __name__ == "__main__":
    main()
