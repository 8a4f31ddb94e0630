"""The worst group's false alarms, with one threshold and with one a group.

``python benchmarks/groups.py --data FOLDER`` with mnist.npz and magnetic-tiles.zip in the folder.
Each detector is trained once and scores normal samples that it has not seen. 1,000 times these are
divided at random, half for calibration and half new ones. A threshold for all, and one for each
group, are placed for 1 % and 5 %, and the false alarms among the new ones are counted by group.
Writes one line a data set and detector to ``results/groups.jsonl``.

- MNIST: trained on all ten digits (every tenth training image); the groups are the digits.
- Magnetic tiles: trained on every other tile; the groups are the exposures at which the tiles were
  photographed. Photographs are divided at random; and again by whole tiles, so that a tile is for
  calibration with all its photographs, or with none.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.load import load_dataset
from insphere.detectors.registry import detector_class
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.scoring.strata import GroupedScores
from insphere.scoring.thresholds import conformal_calibration_size, conformal_threshold
from insphere.versions import versions

ROWS = Path(__file__).parent / "results" / "groups.jsonl"
RESAMPLINGS = 1000
RATES = (0.01, 0.05)
TILES = "magnetic-tiles.zip"
Scored = tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.int64]]

RUNS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("mnist", "mahalanobis", {}),
    ("mnist", "knn", {}),
    ("tiles", "feature-knn", {}),
    ("tiles", "patch-gaussian", {}),
    ("mnist", "deep-svdd", {"recipe": "fast", "epochs": 5, "pretrain_epochs": 5}),
)


def main() -> None:
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    done = [(row["data"], row["method"]) for row in read_rows(ROWS)]
    for data, method, params in RUNS:
        if (data, method) in done:
            continue
        started = time.perf_counter()
        read = mnist if data == "mnist" else tiles
        scores, groups, units = read(given.data, method, params)
        alone = np.arange(len(scores))
        row = {
            "data": data,
            "method": method,
            "params": params,
            "n": len(scores),
            "resamplings": RESAMPLINGS,
            "rates": [measured(scores, groups, alone, rate) for rate in RATES],
            "n_units": len(np.unique(units)),
            "rates_by_unit": [
                measured(scores, groups, units, rate)
                for rate in RATES
                if len(np.unique(units)) < len(scores)
            ],
            "seconds": round(time.perf_counter() - started, 1),
            "versions": versions(),
        }
        append_row(ROWS, row)
        print(row, flush=True)


def mnist(folder: Path, method: str, params: dict[str, Any]) -> Scored:
    """Return the scores of all test digits, the digit of each, and each as a unit of its own."""
    with np.load(folder / "mnist.npz", allow_pickle=False) as archive:
        train, test, digit = archive["x_train"][::10], archive["x_test"], archive["y_test"]
    detector = detector_class(method)(**params, contamination=0.05, random_state=0).fit(train)
    return detector.anomaly_score(test), digit.astype(str), np.arange(len(test))


def tiles(folder: Path, method: str, params: dict[str, Any]) -> Scored:
    """Return the scores of the good photographs of every other tile, exposures, and tiles."""
    data = load_dataset(folder / TILES)
    with zipfile.ZipFile(folder / TILES) as archive:
        text = archive.read("magnetic-tiles/tiles.csv").decode()
    known = {row["file"]: row for row in csv.DictReader(io.StringIO(text))}
    assert data.paths is not None
    inside = [path.split("magnetic-tiles/")[-1] for path in data.paths]
    good = np.array(["/good/" in path for path in inside])
    kept = [path for path in inside if "/good/" in path]
    about = [known[path] for path in kept]
    # The numbers of tiles start anew in each part.
    parts = [path.partition("/")[0] for path in kept]
    titles = [f"{part} {one['tile']}" for part, one in zip(parts, about, strict=True)]
    tile = np.unique(titles, return_inverse=True)[1]
    exposure = np.array([one["exposure"] for one in about])
    images = data.images[good]
    trained = tile % 2 == 0
    detector = detector_class(method)(**params, contamination=0.05, random_state=0)
    detector.fit(images[trained])
    return detector.anomaly_score(images[~trained]), exposure[~trained], tile[~trained]


def measured(
    scores: NDArray[np.float64], groups: NDArray[np.str_], units: NDArray[np.int64], rate: float
) -> dict[str, Any]:
    """Return mean rates of false alarms of each group over all resamplings."""
    rng = np.random.default_rng(0)
    names, codes = np.unique(groups, return_inverse=True)
    members = np.unique(units)
    shared, own = [], []
    for _ in range(RESAMPLINGS):
        chosen = rng.permutation(members)[: len(members) // 2]
        held = np.isin(units, chosen)
        order = np.argsort(scores[held], kind="stable")
        calibration, of = scores[held][order], codes[held][order]
        new, its = scores[~held], codes[~held]
        one = conformal_threshold(calibration, rate)
        by_group = GroupedScores(calibration, of, names.tolist()).thresholds(rate)
        limits = np.array([by_group.get(name, np.nan) for name in names])
        shared.append([(new[its == k] > one).mean() for k in range(len(names))])
        own.append(
            [
                (new[its == k] > limits[k]).mean() if np.isfinite(limits[k]) else np.nan
                for k in range(len(names))
            ]
        )
    found = {"rate": rate, "needed": conformal_calibration_size(rate), "groups": names.tolist()}
    for title, values in (("one", np.array(shared)), ("own", np.array(own))):
        n = (~np.isnan(values)).sum(axis=0)
        enough = n > RESAMPLINGS // 2  # else the group is too small for a threshold of its own
        mean, error = np.full(len(n), np.nan), np.full(len(n), np.nan)
        for k in np.flatnonzero(enough):
            kept = values[~np.isnan(values[:, k]), k]
            mean[k], error[k] = kept.mean(), kept.std(ddof=1) / np.sqrt(len(kept))
        found[title] = [None if np.isnan(m) else round(float(m), 5) for m in mean]
        found[f"{title}_error"] = [None if np.isnan(m) else round(float(m), 5) for m in error]
    return found


if __name__ == "__main__":
    main()
