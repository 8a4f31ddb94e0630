"""A head from whitened features, on pooled features of MVTec: ``python benchmarks/embeddings.py``.

The features are 512 means of ResNet-18 over each image of the 15 categories of MVTec AD, as ADBench
publishes them. Half of the good images, drawn with each of two seeds, are trained on; the other
half and all defective ones are scored. Appends one line for each category and seed to
``results/embeddings.jsonl``, and continues where it was stopped.

Needs ``mvtec-resnet18-embeddings.zip`` in the folder that INSPHERE_DATA names.
"""

from __future__ import annotations

import io
import itertools
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.training.patches import DEFAULT_PHASE, PatchSpec, train_patches
from insphere.versions import versions

HERE = Path(__file__).parent
ROWS = HERE / "results" / "embeddings.jsonl"
SEEDS = range(2)
WHITEN = 0.1  # of the mean variance: there are fewer images than features
NEIGHBOURS = 2
EPOCHS = 20
Rows = NDArray[np.float64]


def neighbours(train: Rows, new: Rows) -> Rows:
    """Return the mean distance to the nearest training vectors."""
    found: Rows = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(train).kneighbors(new)[0]
    return found.mean(axis=1)


def mahalanobis(train: Rows, new: Rows) -> Rows:
    """Return squared Mahalanobis distances with the covariance of Ledoit and Wolf."""
    distances: Rows = LedoitWolf().fit(train).mahalanobis(new)
    return distances


def sphere(train: Rows, new: Rows, seed: int, **settings: Any) -> Rows:
    """Return the squared distances to the centres of a trained head."""
    phase = DEFAULT_PHASE.model_copy(update={"batch_size": 64, "epochs": EPOCHS, "min_steps": 0})
    spec = PatchSpec(phase=phase, unit="patch", **settings)
    trained = train_patches(
        train[:, None].astype(np.float16), spec, seed=seed, device=torch.device("cpu")
    )
    with torch.inference_mode():
        rows = torch.from_numpy(new[:, None].astype(np.float16))
        found: Rows = trained.sphere(rows)[0][:, 0].double().numpy()
    return found


def main() -> None:
    """Measure what is not there yet."""
    there = {(row["category"], row["seed"]) for row in read_rows(ROWS)}
    archive = zipfile.ZipFile(Path(os.environ["INSPHERE_DATA"]) / "mvtec-resnet18-embeddings.zip")
    names = sorted(name for name in archive.namelist() if name.endswith(".npz"))
    for seed, name in itertools.product(SEEDS, names):
        category = Path(name).stem.removeprefix("MVTec-AD_")
        if (category, seed) in there:
            continue
        with np.load(io.BytesIO(archive.read(name)), allow_pickle=False) as file:
            X, y = file["X"].astype(np.float64), file["y"].astype(int)
        good = np.random.default_rng(seed).permutation(np.flatnonzero(y == 0))
        half = len(good) // 2
        test = np.concatenate([good[half:], np.flatnonzero(y == 1)])
        train, new = X[good[:half]], X[test]
        whitened = {"start": "whitened", "whiten": WHITEN}
        scores = {
            "kNN": neighbours(train, new),
            "Mahalanobis": mahalanobis(train, new),
            "SVDD head, random": sphere(train, new, seed),
            "SVDD head, whitened": sphere(train, new, seed, **whitened),
            "SVDD head, whitened, a centre at each image": sphere(
                train, new, seed, centers=half, **whitened
            ),
        }
        measured = {head: float(roc_auc_score(y[test], values)) for head, values in scores.items()}
        about = {"category": category, "seed": seed, "n_train": half}
        append_row(ROWS, {**about, "auc": measured, "versions": versions()})
        means = [row["auc"] for row in read_rows(ROWS)]
        print(category, {k: round(float(np.mean([m[k] for m in means])), 4) for k in means[0]})


if __name__ == "__main__":
    main()
