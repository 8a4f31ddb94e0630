"""What a few anomalies and their masks add to the maps of FCDD: ``python benchmarks/fcdd.py``.

Trained on 400 training images of a digit of MNIST (``--data FOLDER`` with mnist.npz), and on twenty
further ones that are damaged by stickers at strength 3. These are shown not at all, as anomalous
images, or with the masks of the damage; and again twenty times each, so that there are as many
anomalous images as normal ones, as ``balanced=True`` does and as in the paper. A hundred test
images are damaged by each of five local kinds, four of which were never shown. AUC is that of
damaged images against undamaged ones, pixel AUC that of the maps of damaged images against the
masks. One line a digit and way goes to ``results/fcdd.jsonl``; started again, the script goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from insphere.data.perturb import LOCAL, perturb
from insphere.detectors import LabelledFCDD
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.explain import localisation
from insphere.versions import versions

ROWS = Path(__file__).parent / "results" / "fcdd.jsonl"
DIGITS = (3, 8)
WAYS = ("none", "images", "masks", "masks-20", "images-20")
SHOWN_KIND, STRENGTH = "stickers", 3
GOOD, SHOWN, TESTED = 400, 20, 100
SETTINGS: dict[str, Any] = {
    "batch_size": 50, "precision": "float32", "pretrain_epochs": 40, "epochs": 20,
    "contamination": 0.05, "random_state": 0, "balanced": False,
}  # fmt: skip


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    with np.load(given.data / "mnist.npz", allow_pickle=False) as archive:
        mnist = {name: archive[name] for name in archive.files}
    done = [(row["normal"], row["way"]) for row in read_rows(ROWS)]
    for normal in DIGITS:
        for way in WAYS:
            if (normal, way) not in done:
                row = measured(mnist, normal, way)
                append_row(ROWS, row | {"versions": versions()})
                print(row, flush=True)


def measured(mnist: dict[str, NDArray[Any]], normal: int, way: str) -> dict[str, Any]:
    """Train in one way, and measure all kinds of damage."""
    started = time.perf_counter()
    own = mnist["x_train"][mnist["y_train"] == normal][..., None]
    test = mnist["x_test"][mnist["y_test"] == normal][..., None]
    shown = perturb(own[GOOD : GOOD + SHOWN], SHOWN_KIND, STRENGTH)
    X, y = own[:GOOD], None
    what, _, times = way.partition("-")
    bad, masks = (
        np.tile(a, (int(times or 1), 1, 1, *[1] * (a.ndim - 3)))
        for a in (shown.images, shown.masks)
    )
    if what != "none":
        X = np.concatenate([X, bad])
        y = np.repeat([0, -1], [GOOD, len(bad)])
    if what == "masks":
        y = np.concatenate([np.zeros((GOOD, *masks.shape[1:]), int), -(masks > 0).astype(int)])
    detector = LabelledFCDD(**SETTINGS).fit(X, y)
    good, fresh = test[:TESTED], test[TESTED : 2 * TESTED]
    usual = detector.anomaly_score(fresh)
    kinds = {}
    for kind in LOCAL:
        damaged = perturb(good, kind, STRENGTH)
        scores = np.concatenate([usual, detector.anomaly_score(damaged.images)])
        where = localisation(detector.anomaly_map(damaged.images), damaged.masks)
        kinds[kind] = {
            "auc": round(float(roc_auc_score(np.repeat([0, 1], TESTED), scores)), 5),
            "pixel_auc": round(float(where.pixel_auc), 5),
        }
    seconds = round(time.perf_counter() - started, 1)
    return {"normal": normal, "way": way, "shown": SHOWN_KIND, "kinds": kinds, "seconds": seconds}


if __name__ == "__main__":
    main()
