"""Several classes normal at once: ``python benchmarks/unified.py --data FOLDER``.

The protocol of UniAD (You et al. 2022) on CIFAR-10 (cifar10-jpeg.zip in the folder): five classes
are normal, and all test images are scored, of which those of the other five are anomalous. Nearest
neighbours on pooled features of the packaged network, for the first images of each class:

- ``frozen``: one memory for all classes, as `FeatureKNN` has it, or one for each class in units of
  its radius, as with ``fit(X, y)``. Both need only the features, so these are computed once (and
  kept in the cache);
- ``tuned``: `FeatureKNN` on a network that was fine-tuned by the classes of the normal images;
  ``background``: the same, divided by how likely the pretraining finds an image.

One line for each split and form in ``results/unified.jsonl``; what is there is not measured again.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from insphere.data.image_set import ImageSet
from insphere.data.load import load_dataset
from insphere.detectors import FeatureKNN, PretrainedFeatures
from insphere.detectors.base.by_class import class_radius
from insphere.detectors.base.neighbors import mean_distance
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.training.callbacks import Callback
from insphere.versions import versions

ROWS = Path(__file__).parent / "results" / "unified.jsonl"
SPLITS = {"0-4": range(5), "5-9": range(5, 10), "even": range(0, 10, 2), "odd": range(1, 10, 2)}
FEATURES = {"resolution": 192, "resampling": "bilinear", "mirrored": True, "focus": 0.35}
NEIGHBORS = 10
TUNED: dict[str, Any] = {
    "finetune": {"objective": "classes"},
    "normalize": "root",
    "resolution": 128,
    "resampling": "bilinear",
    "n_neighbors": NEIGHBORS,
    "contamination": 0.1,
    "random_state": 0,
}
FORMS = {"tuned": TUNED, "background": TUNED | {"background": True}}


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=5000, help="training images of each class")
    parser.add_argument("--form", choices=("frozen", *FORMS), default="frozen")
    given = parser.parse_args()
    os.environ["INSPHERE_DATA"] = str(given.data)
    data = load_dataset("cifar10")
    if given.form == "frozen":
        frozen(data, given.images)
    else:
        tuned(data, given.images, FORMS[given.form])


def firsts(data: ImageSet, images: int) -> list[np.ndarray]:
    """Return the positions of the first training images of each class."""
    assert data.is_test is not None
    return [np.flatnonzero(~data.is_test & (data.labels == k))[:images] for k in range(10)]


def frozen(data: ImageSet, images: int) -> None:
    """Measure neighbours in the features of the network as it is."""
    done = {
        (row["split"], row["by_class"], row["images"])
        for row in read_rows(ROWS)
        if "tuned" not in row
    }
    assert data.is_test is not None
    component = PretrainedFeatures(**FEATURES).fit(data.images[:2])
    train = [component.transform(data.images[places]) for places in firsts(data, images)]
    test, label = component.transform(data.images[data.is_test]), data.labels[data.is_test]
    print("features are there", flush=True)
    for split, classes in SPLITS.items():
        truth = ~np.isin(label, list(classes))
        for by_class in (False, True):
            if (split, by_class, images) in done:
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
                "images": images,
                "auc": round(float(roc_auc_score(truth, scores)), 5),
                "seconds": round(time.perf_counter() - started, 1),
                "features": FEATURES,
                "versions": versions(),
            }
            append_row(ROWS, row)
            print(split, by_class, row["auc"], flush=True)


def tuned(data: ImageSet, images: int, settings: dict[str, Any]) -> None:
    """Measure neighbours in the features of a network fine-tuned by the normal classes."""
    rows = read_rows(ROWS)
    done = {(row["split"], row["images"]) for row in rows if row.get("tuned") == settings}
    assert data.is_test is not None
    places, label = firsts(data, images), data.labels[data.is_test]
    test = data.images[data.is_test]
    for split, classes in SPLITS.items():
        if (split, images) in done:
            continue
        started = time.perf_counter()
        chosen = np.concatenate([places[k] for k in classes])
        detector = FeatureKNN(**settings, callbacks=(Progress(),))
        detector.fit(data.images[chosen], data.labels[chosen])
        trained = time.perf_counter()
        by_class = detector.class_scores(test)
        scores = by_class.min(axis=1)
        truth = ~np.isin(label, list(classes))
        named = np.array(detector.classes_)[by_class.argmin(axis=1)] == label
        row = {
            "split": split,
            "by_class": True,
            "images": images,
            "auc": round(float(roc_auc_score(truth, scores)), 5),
            "accuracy": round(float(named[~truth].mean()), 4),
            "seconds": round(trained - started, 1),
            "seconds_scoring": round(time.perf_counter() - trained, 1),
            "tuned": settings,
            "history": [
                {name: round(record[name], 5) for name in ("loss", "accuracy", "seconds")}
                for record in detector.finetune_history_
            ],
            "versions": versions(),
        }
        append_row(ROWS, row)
        print(split, row["auc"], row["accuracy"], row["seconds"], flush=True)


class Progress(Callback):
    """Prints now and then how many images were seen."""

    def __init__(self) -> None:
        self.seen = 0

    def batch_end(self, phase: str, images: int) -> None:
        """Count images."""
        before, self.seen = self.seen, self.seen + images
        if before // 2500 != self.seen // 2500:
            print(phase, self.seen, round(time.perf_counter()), flush=True)


if __name__ == "__main__":
    main()
