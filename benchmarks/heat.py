"""How well heat maps show known damage: ``python benchmarks/heat.py``.

Detectors are trained on one digit of mnist-5k; its test images are damaged in five local ways at
strength 3. Pixel AUC and pointing accuracy compare the maps with the masks of the damage; deletion
and insertion ask the detector itself. Writes one line for each detector and map to
``results/heat.jsonl``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from insphere.data.load import load_dataset
from insphere.data.perturb import LOCAL, perturb
from insphere.data.split import OneClassSplit
from insphere.detectors.registry import detector_class, method_title
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.explain import deletion_and_insertion, heat_maps, localisation
from insphere.versions import versions

ROWS = Path(__file__).parent / "results" / "heat.jsonl"
NORMAL, STRENGTH, IMAGES = "3", 3, 40
SHORT = {"batch_size": 50, "precision": "float32"}
PLANS: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    ("knn", {}, ("own",)),
    ("mahalanobis", {}, ("own",)),
    ("kde", {}, ("own",)),
    ("oc-svm", {}, ("own",)),
    ("dcae", {**SHORT, "epochs": 40}, ("own", "gradient")),
    ("fcdd", {**SHORT, "pretrain_epochs": 40, "epochs": 20}, ("own",)),
    (
        "deep-svdd",
        {"recipe": "fast", **SHORT, "pretrain_epochs": 40, "epochs": 20},
        ("gradient", "integrated-gradients", "occlusion"),
    ),
    ("isolation-forest", {}, ("occlusion",)),
)


def main() -> None:
    """Measure what is not there yet."""
    split = OneClassSplit(load_dataset("mnist-5k"), NORMAL, random_state=0)
    images = np.asarray(split.X_test)[split.truth == 0][:IMAGES]
    damaged = {kind: perturb(images, kind, STRENGTH) for kind in LOCAL}
    there = {(row["method"], row["map"]) for row in read_rows(ROWS)}
    for method, params, maps in PLANS:
        missing = [name for name in maps if (method, name) not in there]
        if not missing:
            continue
        detector = detector_class(method)(**params, contamination=0.05, random_state=0).fit(
            split.X_train
        )
        for name in missing:
            started = time.perf_counter()
            row: dict[str, Any] = {
                "method": method,
                "params": params,
                "title": method_title(method),
                "map": name,
                "dataset": "mnist-5k",
                "normal": [NORMAL],
                "strength": STRENGTH,
                "images": len(images),
                "kinds": {},
            }
            for kind, found in damaged.items():
                heat = heat_maps(detector, found.images, name, reference=split.X_train)
                where = localisation(heat, found.masks)
                row["kinds"][kind] = {
                    "pixel_auc": where.pixel_auc,
                    "pointing": where.pointing,
                    "damaged": where.damaged,
                }
                if kind == "stickers":
                    curves = deletion_and_insertion(detector, found.images, heat, split.X_train)
                    row["deletion"] = curves.deletion_area
                    row["insertion"] = curves.insertion_area
            row["seconds"] = round(time.perf_counter() - started, 1)
            append_row(ROWS, row | {"versions": versions()})
            mean = np.mean([values["pixel_auc"] for values in row["kinds"].values()])
            print(f"{method:>16} {name:<20} pixel AUC {mean:.3f}, {row['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
