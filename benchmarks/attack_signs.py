"""Makes the attacked stop signs that come with the package: ``python benchmarks/attack_signs.py``.

A classifier of traffic signs is trained on the 780 training stop signs of GTSRB and on 1,000 of the
other signs; its accuracy is measured on the test stop signs and on the other signs that were kept
apart. Test stop signs that it knows are then attacked with the Boundary Attack, each from another
sign that was kept apart, with budgets of steps that were fixed beforehand. The images go to
``src/insphere/data/datasets/stop-sign-attacks.npz``, all that made them to the ``.json`` beside it.
"""

from __future__ import annotations

import json
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from insphere.atomic import atomic_path, write_atomic
from insphere.attacks.boundary import boundary_attack, predicted
from insphere.data.datasets.stop_signs import ATTACKS, BUDGETS, STOP
from insphere.data.load import load_dataset
from insphere.detectors.supervised.softmax import SoftmaxThreshold
from insphere.nets.fold import folded
from insphere.versions import versions

SEED = 0
KNOWN = 1000  # other signs to train on
SPARE = 6  # signs attacked beyond those wanted, in case one is not misclassified
CLASSIFIER: dict[str, Any] = {
    "encoder": {"base": "gtsrb", "bias": True},
    "preprocess": ["standardize"],
    "epochs": 40,
    "batch_size": 64,
    "precision": "float32",
}


def main(
    work: Annotated[Path, typer.Option(help="Folder of finished parts, to go on from.")] = Path(
        "runs/attack-signs"
    ),
) -> None:
    """Train, attack, check and write."""
    torch.set_num_threads(1)
    data = load_dataset("gtsrb", roi="border", size=32, channels=3)
    images, labels, is_test = np.asarray(data.images), data.labels, data.is_test
    assert is_test is not None
    assert data.paths is not None
    names = np.array([path.rpartition("/")[2] for path in data.paths])
    rng = np.random.default_rng(SEED)
    others = rng.permutation(np.flatnonzero(labels != STOP))
    known, apart = np.sort(others[:KNOWN]), np.sort(others[KNOWN:])
    stops = np.flatnonzero((labels == STOP) & is_test)
    train = np.concatenate([np.flatnonzero((labels == STOP) & ~is_test), known])

    detector = SoftmaxThreshold(
        **CLASSIFIER, contamination=0.05, checkpoint_dir=work, random_state=SEED
    ).fit(images[train], labels[train])
    classes = np.array(detector.classes_)
    network = folded(detector.classifier_)
    seen = {"stops": classes[predicted(network, images[stops])],
            "apart": classes[predicted(network, images[apart])]}  # fmt: skip
    right = {
        "test stop signs": float((seen["stops"] == STOP).mean()),
        "other signs kept apart": float((seen["apart"] == labels[apart]).mean()),
        "other signs kept apart, called stop": float((seen["apart"] == STOP).mean()),
    }
    print(right, flush=True)

    most = max(BUDGETS.values()) + SPARE
    targets = rng.permutation(stops[seen["stops"] == STOP])[:most]
    starts = rng.choice(apart[(seen["apart"] != STOP)], len(targets), replace=False)
    found = {}
    for steps, wanted in BUDGETS.items():
        count = min(len(targets), wanted + SPARE)
        started = time.perf_counter()
        kept_at = work / f"steps_{steps}.npy"
        if not kept_at.is_file():
            changed = boundary_attack(
                network, images[targets[:count]], images[starts[:count]], steps=steps, seed=SEED
            )
            work.mkdir(parents=True, exist_ok=True)
            np.save(kept_at, changed, allow_pickle=False)
            print(f"{steps:,} steps: {time.perf_counter() - started:.0f} s", flush=True)
        found[steps] = np.load(kept_at, allow_pickle=False)[:count]
    # As the trained network sees them, one at a time: nothing of a batch may decide.
    wrong = {
        steps: np.array([classes[predicted(detector.classifier_, one[None])][0] for one in signs])
        != STOP
        for steps, signs in found.items()
    }
    fine = np.ones(len(targets), bool)
    for one in wrong.values():
        fine[: len(one)] &= one
    kept = np.flatnonzero(fine)
    rows = {k: kept[kept < len(one)][: BUDGETS[k]] for k, one in found.items()}
    kept = max(rows.values(), key=len)

    def distance(changed: Any, index: Any) -> Any:
        difference = changed - images[targets[index]].astype(float)
        return np.sqrt((difference**2).sum(axis=(1, 2, 3)))

    distances = {steps: distance(one[rows[steps]], rows[steps]) for steps, one in found.items()}
    about = {
        "what": "stop signs of GTSRB's test part under the Boundary Attack, uint8, n×32×32×3; "
        "steps_N: after N steps; row i is always of the same original and start",
        "seed": SEED,
        "budgets": {steps: len(one) for steps, one in rows.items()},
        "attack": "foolbox.attacks.BoundaryAttack, defaults but for the steps; decisions on "
        "rounded pixels; distances in grey levels of 0 to 255",
        "classifier": {
            **CLASSIFIER,
            "trained_on": {"training stop signs": len(train) - KNOWN, "other signs": KNOWN},
            "accuracy": right,
        },
        "attacked": {steps: len(one) for steps, one in wrong.items()},
        "misclassified": {steps: int(one.sum()) for steps, one in wrong.items()},
        "distance_l2": {
            steps: {"median": round(float(np.median(d)), 1), "max": round(float(d.max()), 1)}
            for steps, d in distances.items()
        },
        "distance_l2_of_starts": {
            "median": round(float(np.median(distance(images[starts[kept]], kept))), 1)
        },
        "originals": names[targets[kept]].tolist(),
        "starts": names[starts[kept]].tolist(),
        "known_signs": names[known].tolist(),
        "versions": versions() | {"foolbox": metadata.version("foolbox")},
    }  # fmt: skip
    write(ATTACKS, {f"steps_{steps}": one[rows[steps]] for steps, one in found.items()}, about)


def write(path: Path, arrays: dict[str, Any], about: dict[str, Any]) -> None:
    """Write images and description, whole or not at all."""
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    write_atomic(path.with_suffix(".json"), json.dumps(about, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    typer.run(main)
