"""Densities beside distances in one representation: ``python benchmarks/density_heads.py``.

With ``--data FOLDER`` that holds mnist.npz. For each digit an encoder is pretrained (recipe best,
no one-class training) on every other training image of it. Each head is fitted to the
representations of these images, in the upright view, and the AUC is measured on the test set. All
settings are the defaults of the heads; the mixtures of 2 and 10 show what their number does. Next
to it stands the head combined, which looks at all views. One line a digit goes to
``results/density-heads.jsonl``; started again, the script goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from insphere import DeepSVDD
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.training.batch import Batch
from insphere.training.heads.head import Head
from insphere.training.heads.parse import parse_head
from insphere.versions import versions

ROWS = Path(__file__).parent / "results" / "density-heads.jsonl"
HEADS: dict[str, Any] = {
    "center": "center",
    "ellipsoid": "ellipsoid",
    "neighbors": "neighbors",
    "mixture": "mixture",
    "mixture-2": {"kind": "mixture", "n_components": 2},
    "mixture-10": {"kind": "mixture", "n_components": 10},
    "flow": "flow",
    "adaptive": "adaptive",
    "adaptive-ellipsoid": {"kind": "adaptive", "head": "ellipsoid"},
}


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--normal", type=int, nargs="*", default=[3, 8, 2, 5])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with np.load(given.data / "mnist.npz", allow_pickle=False) as archive:
        mnist = {name: archive[name] for name in archive.files}
    done = [(row["normal"], row["seed"]) for row in read_rows(ROWS)]
    for normal in given.normal:
        if (normal, given.seed) not in done:
            row = measured(mnist, normal, given.seed)
            append_row(ROWS, row | {"versions": versions()})
            print(row, flush=True)


def measured(mnist: dict[str, NDArray[Any]], normal: int, seed: int) -> dict[str, Any]:
    """Pretrain on one digit, and measure all heads."""
    train = mnist["x_train"][mnist["y_train"] == normal][::2]
    truth = mnist["y_test"] != normal
    aucs, seconds = {}, {}
    whole = DeepSVDD(recipe="best", contamination=0.05, random_state=seed).fit(train)
    aucs["combined"] = auc(truth, whole.anomaly_score(mnist["x_test"]))
    z, test = (torch.from_numpy(whole.transform(X)) for X in (train, mnist["x_test"]))
    for name, settings in HEADS.items():
        started = time.perf_counter()
        head = fitted(settings, z)
        seconds[name] = round(time.perf_counter() - started, 2)
        with torch.no_grad():
            aucs[name] = auc(truth, head(test).numpy())
    return {"normal": normal, "seed": seed, "n": len(train), "auc": aucs, "fit_seconds": seconds}


def fitted(settings: Any, z: torch.Tensor) -> Head:
    """Return a head that was fitted to representations, as after a training."""
    torch.manual_seed(0)
    head = parse_head(settings).build(z.shape[1])
    head.fit(Batch(z))
    head.fit(Batch(z))
    return head


def auc(truth: NDArray[np.bool_], scores: NDArray[Any]) -> float:
    """Return an AUC for a row."""
    return round(float(roc_auc_score(truth, scores)), 5)


if __name__ == "__main__":
    main()
