"""One radius beside radii by direction: ``python benchmarks/adaptive_radius.py --data FOLDER``.

Deep SVDD (fast recipe, mnist.npz in the folder) is trained once for each line of `RUNS`. The radii
are fitted to its training samples, so that all heads stand on one network. One line a network and
head goes to ``results/adaptive-radius.jsonl``; started again, the script goes on.

- ``ten``: every tenth training image of all digits is normal. Test images are divided 1,000 times
  at random, half for calibration and half new; false alarms are counted by digit, and by region:
  ten clusters (k-means) of the representations of other training images.
- ``nine``: the same without one digit, whose test images are the anomalies of the AUC.
- ``one``: half of the training images of one digit are normal, and the other half is divided in
  the same way. The other digits of the test set are the anomalies of the AUC.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import roc_auc_score

from insphere import DeepSVDD
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.scoring.thresholds import conformal_threshold
from insphere.training.batch import Batch
from insphere.training.heads.adaptive import Adaptive, AdaptiveSpec
from insphere.training.heads.center import Center
from insphere.versions import versions

ROWS = Path(__file__).parent / "results" / "adaptive-radius.jsonl"
RUNS = [
    ("ten", None),
    *(("one", digit) for digit in (3, 5, 8)),
    *(("nine", digit) for digit in (2, 4, 7)),
]
HEADS: dict[str, dict[str, Any] | None] = {
    "one": None,
    "neighbors": {"radius": "neighbors"},
    "neighbors-20": {"radius": "neighbors", "n_neighbors": 20},
    "neighbors-100": {"radius": "neighbors", "n_neighbors": 100},
    "quantile": {"radius": "quantile"},
}
RESAMPLINGS = 1000
RATES = (0.01, 0.05)
REGIONS = 10


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with np.load(given.data / "mnist.npz", allow_pickle=False) as archive:
        mnist = {name: archive[name] for name in archive.files}
    for data, digit in RUNS:
        what = {"data": data, "normal": digit, "seed": given.seed}
        done = {row["head"] for row in read_rows(ROWS) if what == {k: row[k] for k in what}}
        if done < set(HEADS):
            measure(mnist, what, [name for name in HEADS if name not in done])


def measure(mnist: dict[str, NDArray[Any]], what: dict[str, Any], heads: list[str]) -> None:
    """Train one network and append a row for each head."""
    digit, several = what["normal"], what["data"] != "one"
    if digit is None:
        normal = {part: np.ones(len(mnist[f"y_{part}"]), bool) for part in ("train", "test")}
    else:
        normal = {p: (mnist[f"y_{p}"] == digit) != several for p in ("train", "test")}
    own, step = np.flatnonzero(normal["train"]), 10 if several else 2
    trained, apart = own[::step], own[step // 2 :: step]
    detector = DeepSVDD(recipe="fast", contamination=0.05, random_state=what["seed"])
    detector.fit(mnist["x_train"][trained])
    z = torch.from_numpy(detector.transform(mnist["x_train"][trained]))
    held = torch.from_numpy(detector.transform(mnist["x_train"][apart]))
    test = torch.from_numpy(detector.transform(mnist["x_test"]))
    center = detector.sphere_.head
    assert isinstance(center, Center)
    regions = KMeans(REGIONS, n_init=4, random_state=0)
    if several:
        new, groups = test[normal["test"]], mnist["y_test"][normal["test"]]
        of_region = regions.fit(held.numpy()).predict(new.numpy())
    else:
        new, groups = held, np.zeros(len(held), int)
        of_region = regions.fit(z.numpy()).predict(new.numpy())
    for name in heads:
        settings, started = HEADS[name], time.perf_counter()
        head = center if settings is None else around(center, AdaptiveSpec(**settings), z)
        fitted = time.perf_counter() - started
        with torch.no_grad():
            scores, of_test = head(new).numpy(), head(test).numpy()
        row = {
            **what,
            "head": name,
            "n": len(scores),
            "resamplings": RESAMPLINGS,
            "rates": [rates(scores, {"digit": groups, "region": of_region}, r) for r in RATES],
            "auc": None
            if digit is None
            else round(float(roc_auc_score(~normal["test"], of_test)), 5),
            "fit_seconds": round(fitted, 2),
            "versions": versions(),
        }
        append_row(ROWS, row)
        print({k: v for k, v in row.items() if k != "versions"}, flush=True)


def around(center: Center, spec: AdaptiveSpec, z: torch.Tensor) -> Adaptive:
    """Return a head with radii around a centre that stays where it is."""
    head = spec.build(z.shape[1])
    head.fit(Batch(z))
    head.inner = center
    head.fit(Batch(z))
    return head


def rates(
    scores: NDArray[np.float64], groups: dict[str, NDArray[np.int64]], rate: float
) -> dict[str, Any]:
    """Return the mean rate of false alarms of all, and of each group by the kind of group."""
    rng = np.random.default_rng(0)
    half = len(scores) // 2
    total, found = [], {kind: [] for kind in groups}
    for _ in range(RESAMPLINGS):
        order = rng.permutation(len(scores))
        held, new = order[:half], order[half:]
        beyond = scores[new] > conformal_threshold(scores[held], rate)
        total.append(float(beyond.mean()))
        for kind, codes in groups.items():
            n = np.bincount(codes[new], minlength=codes.max() + 1)
            found[kind].append(
                np.bincount(codes[new], beyond, minlength=codes.max() + 1) / np.maximum(n, 1)
            )
    measured: dict[str, Any] = {"rate": rate, "all": round(float(np.mean(total)), 5)}
    measured["all_error"] = round(float(np.std(total, ddof=1) / np.sqrt(RESAMPLINGS)), 5)
    for kind, values in found.items():
        means = np.mean(values, axis=0)
        error = np.std(values, axis=0, ddof=1) / np.sqrt(RESAMPLINGS)
        measured[kind] = [round(float(m), 5) for m in means]
        measured[f"{kind}_error"] = [round(float(e), 5) for e in error]
    return measured


if __name__ == "__main__":
    main()
