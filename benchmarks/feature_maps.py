"""Where patch detectors point on damaged stop signs: ``python benchmarks/feature_maps.py``.

Detectors are trained on the 780 training stop signs of GTSRB at 32 pixels. The 270 test stop signs
are damaged in each local way at strength 3; the undamaged ones count as normal. Writes one line for
each detector and kind of damage to ``results/feature-maps.jsonl``, and the most anomalous damaged
signs with their maps to ``docs/images/fpsvdd-signs.png``.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.load import load_dataset
from insphere.data.perturb import LOCAL, perturb
from insphere.data.split import OneClassSplit
from insphere.detectors.registry import detector_class, method_title
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.explain.heat import heat_scale
from insphere.figures.grid import image_grid
from insphere.figures.overlay import heat_overlay
from insphere.scoring import evaluate_maps, evaluate_scores
from insphere.versions import versions

HERE = Path(__file__).parent
ROWS = HERE / "results" / "feature-maps.jsonl"
PICTURE = HERE.parent / "docs" / "images" / "fpsvdd-signs.png"
STRENGTH, SHOWN = 3, 8
PARAMS = {"resolution": 128, "grid": 16}
DETECTORS = ("fpsvdd", "patch-memory")
DRAWN = "fpsvdd"


def main() -> None:
    """Measure what is not there yet, and draw."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a note about the size of the signs
        split = OneClassSplit(load_dataset("gtsrb", size=32, channels=3), "stop", random_state=0)
    clean = np.asarray(split.X_test)[split.truth == 0]
    damaged = {kind: perturb(clean, kind, STRENGTH) for kind in LOCAL}
    there = {(row["method"], row["damage"]) for row in read_rows(ROWS)}
    for method in DETECTORS:
        started = time.perf_counter()
        detector: Any = detector_class(method)(**PARAMS, contamination=0.05, random_state=0).fit(
            split.X_train
        )
        seconds = time.perf_counter() - started
        normal, normal_maps = detector.anomaly_score(clean), detector.anomaly_map(clean)
        found = []
        for kind, broken in damaged.items():
            scores, maps = (
                detector.anomaly_score(broken.images),
                detector.anomaly_map(broken.images),
            )
            found.append((scores, broken.images, maps))
            if (method, kind) in there:
                continue
            truth = np.repeat([0, 1], len(clean))
            masks = np.concatenate([np.zeros_like(broken.masks), broken.masks])
            pixels = evaluate_maps(masks, np.concatenate([normal_maps, maps]))
            row = {
                "dataset": "gtsrb",
                "method": method,
                "title": method_title(method),
                "params": PARAMS,
                "damage": kind,
                "strength": STRENGTH,
                "auc": evaluate_scores(truth, np.concatenate([normal, scores])).auc,
                **pixels.to_dict(),
                "n_train": detector.n_train_,
                "fit_seconds": round(seconds, 1),
                "versions": versions(),
            }
            append_row(ROWS, row)
            print(f"{method} {kind}: AUC {row['auc']:.3f}, pixels {pixels.pixel_auc:.3f}")
        if method == DRAWN:
            _draw(found, normal_maps)


def _draw(
    found: list[tuple[NDArray[Any], NDArray[np.uint8], NDArray[Any]]], normal_maps: NDArray[Any]
) -> None:
    """Draw the damaged signs with the highest scores above their maps, two of each damage."""
    each = -(-SHOWN // len(found))
    best = [(images[i], maps[i], scores[i]) for scores, images, maps in found
            for i in np.argsort(-scores)[:each]][:SHOWN]  # fmt: skip
    images, maps, scores = (np.stack(side) for side in zip(*best, strict=True))
    scale = heat_scale(normal_maps, maps)
    overlays = [
        heat_overlay(image, heat, scale.threshold, scale.top)
        for image, heat in zip(images, maps, strict=True)
    ]
    captions = [f"score {score:.3g}" for score in scores] + [""] * len(images)
    figure = image_grid(np.concatenate([images, np.stack(overlays)]), captions, columns=SHOWN)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    main()
