"""Several classes normal at once: ``python benchmarks/unified.py --data FOLDER``.

The protocol of UniAD (You et al. 2022) on CIFAR-10 (cifar10-jpeg.zip in the folder): five classes
are normal, and all test images are scored, of which those of the other five are anomalous.
Detectors on pooled features of packaged networks learn from the first images of each class:

- ``frozen``: one network, and nearest neighbours in one memory for all classes, as `FeatureKNN` has
  it, or in one for each class in units of its radius, as with ``fit(X, y)``;
- ``joined``: the same with three networks, and `FeatureViM` with the classes. All that is frozen
  needs only the features, so these are computed once (and kept in the cache);
- ``tuned``: `FeatureKNN` on a network that was fine-tuned by the classes of the normal images;
  ``background``: the same, divided by how likely the pretraining finds an image; ``tuned-vim``:
  `FeatureViM` on such a network;
- ``together``: a `Combination` of `FeatureViM` on two networks that were fine-tuned longer, with
  mirror images, of `FeatureViM` on three frozen networks, and of `FeatureAlternatives` on these.

One line for each split and form or head in ``results/unified.jsonl``; what is there is not
measured again.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from features import JOINED
from insphere.data.image_set import ImageSet
from insphere.data.load import load_dataset
from insphere.detectors import Combination, FeatureKNN, FeatureViM, PretrainedFeatures
from insphere.detectors.base.by_class import class_radius
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.base.neighbors import mean_distance
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.training.callbacks import Callback
from insphere.versions import versions

Floats = NDArray[Any]
ROWS = Path(__file__).parent / "results" / "unified.jsonl"
SPLITS = {"0-4": range(5), "5-9": range(5, 10), "even": range(0, 10, 2), "odd": range(1, 10, 2)}
FEATURES = {"resolution": 192, "resampling": "bilinear", "mirrored": True, "focus": 0.35}
NEIGHBORS = 10
SMALLER: dict[str, Any] = {"normalize": "root", "resolution": 128, "resampling": "bilinear"}
TUNED: dict[str, Any] = SMALLER | {
    "finetune": {"objective": "classes"},
    "contamination": 0.1,
    "random_state": 0,
}
KNN: dict[str, Any] = TUNED | {"n_neighbors": NEIGHBORS}
LONGER: dict[str, Any] = SMALLER | {
    "finetune": {"objective": "classes", "epochs": 4},
    "mirrored": True,
}
PLACED: dict[str, Any] = {"contamination": None, "random_state": 0}
TOGETHER: dict[str, Any] = PLACED | {
    "look_alikes": False,  # CIFAR-10 has no photograph twice
    "members": [
        *(
            {"method": "feature-vim", "params": LONGER | {"backbone": f"efficientnet-lite{size}"}}
            for size in (0, 1)
        ),
        {"method": "feature-vim", "params": FEATURES | JOINED},
        {"method": "feature-alternatives", "params": FEATURES | JOINED},
    ],
}
FORMS: dict[str, tuple[type[OneClassDetector], dict[str, Any]]] = {
    "tuned": (FeatureKNN, KNN),
    "background": (FeatureKNN, KNN | {"background": True}),
    "tuned-vim": (FeatureViM, TUNED),
    "together": (Combination, TOGETHER),
}
FROZEN: dict[str, dict[str, Any]] = {"frozen": FEATURES, "joined": FEATURES | JOINED}
"""Parameters of the features of each form without training."""


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=5000, help="training images of each class")
    parser.add_argument("--form", choices=(*FROZEN, *FORMS), default="frozen")
    given = parser.parse_args()
    os.environ["INSPHERE_DATA"] = str(given.data)
    data = load_dataset("cifar10")
    if given.form in FROZEN:
        frozen(data, given.images, FROZEN[given.form], vim=given.form == "joined")
    else:
        tuned(data, given.images, *FORMS[given.form])


def firsts(data: ImageSet, images: int) -> list[np.ndarray]:
    """Return the positions of the first training images of each class."""
    assert data.is_test is not None
    return [np.flatnonzero(~data.is_test & (data.labels == k))[:images] for k in range(10)]


def frozen(data: ImageSet, images: int, features: dict[str, Any], *, vim: bool) -> None:
    """Measure heads on the features of networks as they are."""
    done = {
        (row["split"], row["head"])
        for row in read_rows(ROWS)
        if (row.get("features"), row["images"]) == (features, images)
    }
    assert data.is_test is not None
    component = PretrainedFeatures(**features).fit(data.images[:2])
    train = [component.transform(data.images[places]) for places in firsts(data, images)]
    test, label = component.transform(data.images[data.is_test]), data.labels[data.is_test]
    print("features are there", flush=True)
    heads = HEADS | ({"feature-vim": virtual_logit} if vim else {})
    for split, classes in SPLITS.items():
        truth = ~np.isin(label, list(classes))
        for head, score in heads.items():
            if (split, head) in done:
                continue
            started = time.perf_counter()
            scores = score([train[k] for k in classes], test)
            row = {
                "split": split,
                "head": head,
                "images": images,
                "auc": round(float(roc_auc_score(truth, scores)), 5),
                "seconds": round(time.perf_counter() - started, 1),
                "features": features,
                "versions": versions(),
            }
            append_row(ROWS, row)
            print(split, head, row["auc"], row["seconds"], flush=True)


def one_memory(train: Sequence[Floats], test: Floats) -> Floats:
    """Score with the neighbours of all classes together."""
    return mean_distance(np.concatenate(train), test, NEIGHBORS)


def memory_of_each(train: Sequence[Floats], test: Floats) -> Floats:
    """Score with the neighbours of the nearest class, in units of its radius."""
    each = [
        mean_distance(own, test, NEIGHBORS) / class_radius(mean_distance(own, None, NEIGHBORS))
        for own in train
    ]
    nearest: Floats = np.min(each, axis=0)
    return nearest


def virtual_logit(train: Sequence[Floats], test: Floats) -> Floats:
    """Score with `FeatureViM`."""
    codes = np.repeat(np.arange(len(train)), [len(own) for own in train])
    detector = FeatureViM()
    detector._learn_classes(np.concatenate(train), codes)
    return detector._score(test)


HEADS: Mapping[str, Callable[[Sequence[Floats], Floats], Floats]] = {
    "one memory": one_memory,
    "a memory for each class": memory_of_each,
}


def tuned(
    data: ImageSet, images: int, detector_class: type[OneClassDetector], settings: dict[str, Any]
) -> None:
    """Measure a detector that learns from the names of the normal classes."""
    rows, head = read_rows(ROWS), detector_class.card.key
    done = {
        (row["split"], row["images"])
        for row in rows
        if (row.get("tuned"), row.get("head", "feature-knn")) == (settings, head)
    }
    assert data.is_test is not None
    places, label = firsts(data, images), data.labels[data.is_test]
    test = data.images[data.is_test]
    for split, classes in SPLITS.items():
        if (split, images) in done:
            continue
        started = time.perf_counter()
        chosen = np.concatenate([places[k] for k in classes])
        detector: Any = detector_class(**settings, callbacks=(Progress(),))
        detector.fit(data.images[chosen], data.labels[chosen])
        trained = time.perf_counter()
        by_class = detector.class_scores(test)
        scores = by_class.min(axis=1)
        truth = ~np.isin(label, list(classes))
        named = np.array(detector.classes_)[by_class.argmin(axis=1)] == label
        row = {
            "split": split,
            "by_class": True,
            "head": head,
            "images": images,
            "auc": round(float(roc_auc_score(truth, scores)), 5),
            "accuracy": round(float(named[~truth].mean()), 4),
            "seconds": round(trained - started, 1),
            "seconds_scoring": round(time.perf_counter() - trained, 1),
            "tuned": settings,
            "history": [
                {name: round(record[name], 5) for name in ("loss", "accuracy", "seconds")}
                for member in getattr(detector, "members_", None) or [detector]
                for record in member.finetune_history_
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
