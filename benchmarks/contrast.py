"""Contrast and its relatives beside rotation by budget: ``python benchmarks/contrast.py``.

One class of a data set is normal. A network is pretrained on 1,000 of its training images and
measured on 600 others of its training images against 80 of every other class; test images are not
used. All forms take equally many steps, so that the one cycle of the learning rate ends with each
budget; those with two views of an image compute twice as much in a step as rotation does. One row
a run is appended to ``results/contrast.jsonl``. Started again, it continues where it was stopped.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.load import load_dataset
from insphere.data.split import OneClassSplit
from insphere.detectors import DeepSVDD
from insphere.detectors.spheres.untrained import UntrainedDeepSVDD
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.training.recipe import BEST
from insphere.versions import versions
from pretraining import parts_of

OUT = Path(__file__).parent / "results" / "contrast.jsonl"
TRAIN, NORMAL, OTHER = 1000, 600, 80
PARTS = ("ellipsoid", "neighbors", "pixels")
BATCH = 128
FORMS: dict[str, dict[str, Any]] = {
    "rotation": {"kind": "rotation"},
    "simclr, turns are negatives": {"kind": "simclr", "shifted": "drawn"},
    "byol": {"kind": "byol"},
    "vicreg": {"kind": "vicreg"},
    "simclr": {"kind": "simclr", "shifted": "none"},
    "simclr, all turns (CSI)": {"kind": "simclr", "shifted": "all"},
}


def divided(name: str, cls: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Return training images, images to measure on, and which of these are anomalous."""
    data, rng = load_dataset(name), np.random.default_rng(0)
    kinds = []
    for number, title in enumerate(data.class_names):
        images = OneClassSplit(data, title, random_state=0).X_train
        count = TRAIN + NORMAL if number == cls else OTHER
        kinds.append(images[np.sort(rng.permutation(len(images))[:count])])
    own = kinds.pop(cls)[rng.permutation(TRAIN + NORMAL)]
    X = np.concatenate([own[TRAIN:], *kinds])
    return own[:TRAIN], X, np.arange(len(X)) >= NORMAL


def measured(name: str, cls: int, form: str, steps: int, seed: int) -> dict[str, Any]:
    """Pretrain, enclose and measure."""
    train, X, truth = divided(name, cls)
    batch = BATCH
    if FORMS.get(form, {}).get("shifted") == "all":  # as many views in a step as the others
        batch //= 8 if name == "mnist" else 4
    phase = BEST.pretrain.model_copy(update={"epochs": 1, "min_steps": steps, "batch_size": batch})
    settings: dict[str, Any] = {
        "recipe": BEST.model_copy(update={"pretrain": phase}),
        "encoder": "compact",
        "pretraining": FORMS.get(form, {"kind": "byol"}),
        "head": {"kind": "combined", "parts": PARTS},
        "random_state": seed,
        "contamination": 0.05,
    }
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = (DeepSVDD if steps else UntrainedDeepSVDD)(**settings).fit(train)
    seconds = time.perf_counter() - started
    last = detector.history_[-1] if detector.history_ else {}
    return {
        "set": name, "normal": cls, "form": form, "steps": steps, "seed": seed,
        "auc": parts_of(detector, X, truth), "seconds": round(seconds, 1),
        "last": {k: last[k] for k in ("epoch", "loss", "turn_told", "pair_told") if k in last},
        "pretraining": detector.spec_.pretraining.model_dump(mode="json"),
        "versions": versions(),
    }  # fmt: skip


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", nargs="+", default=["mnist:8", "cifar10:0"])
    parser.add_argument("--steps", type=int, nargs="+", default=[200, 50, 800])
    parser.add_argument("--forms", nargs="+", default=list(FORMS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    keys = ("set", "normal", "form", "steps", "seed")
    done = {tuple(row[key] for key in keys) for row in read_rows(given.out)}
    wanted = [(one, "untrained", 0) for one in given.classes]
    wanted += [(o, form, s) for s in given.steps for form in given.forms for o in given.classes]
    for one, form, steps in wanted:
        name, _, cls = one.partition(":")
        if (name, int(cls), form, steps, given.seed) not in done:
            row = measured(name, int(cls), form, steps, given.seed)
            append_row(given.out, row)
            print({key: row[key] for key in (*keys, "auc", "seconds", "last")}, flush=True)


if __name__ == "__main__":
    main()
