"""Time of selecting a coreset, by the number of patches: ``python benchmarks/coreset.py``.

Patches are the features of stage s3 of EfficientNet-Lite0, 40 numbers each, at one position every
8 pixels of the 521 training photographs of magnetic tiles, each photograph in its eight poses
(turned by quarters, and mirrored). `patch-memory` draws 50,000 of them at random, and selects 2,000
greedily from these; a row says how long this takes, and how long it takes to select from all
patches, unless ``--seconds`` are not enough for it. How well each selection covers all patches is
the distance of 100,000 others, drawn at random, to the nearest selected one: mean, 99 % quantile
and maximum. One row for each number of patches goes to results/coreset.jsonl; numbers that are
there are skipped.

Needs ``magnetic-tiles.zip`` in the folder that INSPHERE_DATA names, and 5 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min

from insphere.data.letterbox import content_size, on_canvas
from insphere.data.load import load_dataset
from insphere.detectors import PatchMemory
from insphere.detectors.pretrained.patch_memory import CANDIDATES, greedy_coreset
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from machine import machine

ROWS = Path(__file__).parent / "results" / "coreset.jsonl"
SELECTED = 2000
LOOKED_AT = 100_000
AT_ONCE = 32


def poses(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the images as they are, turned by quarters, and all of these mirrored."""
    whole = [image[:h, :w] for image in images for h, w in [content_size(image)]]
    for mirrored in (False, True):
        for quarters in range(4):
            size = images.shape[1:3] if quarters % 2 == 0 else images.shape[2:0:-1]
            turned = (np.rot90(one[:, ::-1] if mirrored else one, quarters) for one in whole)
            yield np.stack([on_canvas(one, size) for one in turned])


def patches(folder: Path, most: int) -> np.ndarray:
    """Return patches in a random order, in a memory map of shape (most, 40), float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the note about the canvas
        data = load_dataset(Path(os.environ["INSPHERE_DATA"]) / "magnetic-tiles.zip")
    train = data.images[~data.is_test]
    found = np.lib.format.open_memmap(folder / "patches.npy", "w+", np.float32, (most, 40))
    places = np.random.default_rng(0).permutation(most)
    done = 0
    for images in poses(train):
        detector = PatchMemory(stages=["s3"], scale="auto", neighbourhood=1, cache=False)
        detector.fit(images[:8])
        for start in range(0, len(images), AT_ONCE):
            F = detector._patches(images[start : start + AT_ONCE])
            rows = F[~np.isnan(F[..., 0])].astype(np.float32)[: most - done]
            found[places[done : done + len(rows)]] = rows
            done += len(rows)
            if done == most:
                return found
    raise SystemExit(f"There are only {done} patches.")


def coverage(rows: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
    """Return how far rows lie from the nearest of those that were selected."""
    far = pairwise_distances_argmin_min(rows, chosen)[1]
    found = {"mean": far.mean(), "q99": np.quantile(far, 0.99), "max": far.max()}
    return {name: round(float(value), 4) for name, value in found.items()}


def measured(rows: np.ndarray, looked_at: np.ndarray, everything: bool) -> dict[str, Any]:
    """Select from some patches and from all, and return what it took and what it covers."""
    row: dict[str, Any] = {"patches": len(rows), "width": rows.shape[1], "selected": SELECTED}
    for name, candidates in (("drawn", CANDIDATES), ("all", len(rows))):
        if name == "all" and not everything:
            break
        began = time.process_time()
        drawn = np.random.default_rng(1).permutation(len(rows))[:candidates]
        some = rows[np.sort(drawn)]
        chosen = some[greedy_coreset(some, min(SELECTED, len(some)), np.random.default_rng(2))]
        row[name] = {"cpu_seconds": round(time.process_time() - began, 2)}
        row[name] |= coverage(looked_at, chosen)
    return row


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = [10_000, 100_000, 1_000_000, 10_000_000]
    parser.add_argument("--patches", type=int, nargs="+", default=sizes)
    parser.add_argument("--seconds", type=float, default=1200, help="Most for selecting from all.")
    given = parser.parse_args()
    there = {row["patches"] for row in read_rows(ROWS)}
    missing = sorted(set(given.patches) - there)
    if not missing:
        return
    slow = 0.0
    with tempfile.TemporaryDirectory() as folder:
        most = missing[-1] + LOOKED_AT
        rows = patches(Path(folder), most)
        for count in missing:
            row = measured(
                rows[LOOKED_AT : LOOKED_AT + count], rows[:LOOKED_AT], slow * 10 <= given.seconds
            )
            slow = row.get("all", {}).get("cpu_seconds", np.inf)
            append_row(ROWS, row | {"machine": machine()})
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
