"""Can the share of anomalies be read off? ``python benchmarks/pollution_share.py --data FOLDER``.

Deep SVDD (mnist.npz in the folder; the recipe best, and the fast one with 5 and 5 epochs) is
trained on 1,500 images of a digit, of which a known share are other digits. Estimates are made from
the scores of 1,500 further images with the same share, which are as if new:

- from these scores alone: the knee of the sorted distances (Satopaa et al. 2011, "Finding a
  'kneedle' in a haystack", on the unit square, with an interval from 200 bootstrap samples); what
  lies beyond a normal distribution of log distances that is fitted to their median and the lower
  half (as the empirical null of Efron 2004); the upper part of two Gaussians;
- beside the scores of 100, 300 or 1,000 images that are known to be normal: Storey's estimate,
  which is `insphere.scoring.anomalous_share`.

One line a recipe, digit, share and seed goes to ``results/pollution-share.jsonl``; started again,
the script goes on.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture

from insphere import DeepSVDD
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.scoring import anomalous_share
from insphere.versions import versions

ROWS = Path(__file__).parent / "results" / "pollution-share.jsonl"
SHARES = (0.0, 0.01, 0.05, 0.1, 0.2)
DIGITS = (3, 8)
KNOWN = (100, 300, 1000)
TRAINED = 1500
BOOTSTRAPS = 200
RECIPES: dict[str, dict[str, Any]] = {
    "fast": {"epochs": 5, "pretrain_epochs": 5},
    "best": {"recipe": "best"},
}
SEEDS = {"fast": 3, "best": 1}
TAIL = 0.05  # of the empirical null

Floats = NDArray[np.float64]


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    with np.load(given.data / "mnist.npz", allow_pickle=False) as archive:
        X, digit = archive["x_train"], archive["y_train"]
    done = [(row["recipe"], row["normal"], row["share"], row["seed"]) for row in read_rows(ROWS)]
    runs = itertools.product(RECIPES, range(max(SEEDS.values())), DIGITS, SHARES)
    for recipe, seed, normal, share in runs:
        if seed < SEEDS[recipe] and (recipe, normal, share, seed) not in done:
            row = measured(X, digit, recipe, normal, share, seed)
            append_row(ROWS, row | {"versions": versions()})
            print(row, flush=True)


def measured(
    X: NDArray[np.uint8], digit: NDArray[Any], recipe: str, normal: int, share: float, seed: int
) -> dict[str, Any]:
    """Train on one polluted set, and return all estimates of its share."""
    started, rng = time.perf_counter(), np.random.default_rng([seed, normal])
    own = rng.permutation(np.flatnonzero(digit == normal))
    others = rng.permutation(np.flatnonzero(digit != normal))
    count = round(share * TRAINED)
    known, own = own[: max(KNOWN)], own[max(KNOWN) :]
    sets = []
    for place in range(2):
        good = own[place * TRAINED : (place + 1) * TRAINED][: TRAINED - count]
        sets.append(rng.permutation(np.r_[good, others[place * count : (place + 1) * count]]))
    trained, new = sets
    detector = DeepSVDD(**RECIPES[recipe], contamination=0.05, random_state=seed)
    detector.fit(X[trained])
    scores, clean = detector.anomaly_score(X[new]), detector.anomaly_score(X[known])
    truth = digit[new] != normal
    bootstrap = [knee(rng.choice(scores, len(scores))) for _ in range(BOOTSTRAPS)]
    estimates: dict[str, Any] = {
        "knee": interval(knee(scores), *np.quantile(bootstrap, (0.05, 0.95))),
        "empirical-null": interval(beyond_bulk(scores)),
        "two-gaussians": interval(upper_gaussian(scores)),
    }
    for n in KNOWN:
        found = anomalous_share(clean[:n], scores)
        estimates[f"known-{n}"] = interval(found.share, found.low, found.high)
    return {
        "recipe": recipe,
        "normal": normal,
        "share": share,
        "seed": seed,
        "auc": round(float(roc_auc_score(truth, scores)), 5) if truth.any() else None,
        "estimates": estimates,
        "seconds": round(time.perf_counter() - started, 1),
    }


def interval(*values: float) -> list[float]:
    """Return an estimate, and the ends of its interval if there is one, for a row."""
    return [round(float(value), 4) for value in values]


def knee(scores: Floats) -> float:
    """Return the share beyond the point of the sorted distances farthest below the diagonal."""
    ordered = np.sort(scores)
    height = (ordered - ordered[0]) / (ordered[-1] - ordered[0])
    place = int(np.argmax(np.linspace(0, 1, len(ordered)) - height))
    return 1 - place / len(ordered)


def beyond_bulk(scores: Floats) -> float:
    """Return what lies beyond the 95 % point of a bulk fitted to median and lower half."""
    logs = np.log(scores)
    middle = np.median(logs)
    spread = middle - np.quantile(logs, norm.cdf(-1))
    beyond = float((logs > middle + spread * norm.ppf(1 - TAIL)).mean())
    return max(0.0, (beyond - TAIL) / (1 - TAIL))


def upper_gaussian(scores: Floats) -> float:
    """Return the weight of the upper of two Gaussians, or 0 if one fits log scores better (BIC)."""
    logs = np.log(scores)[:, None]
    two = GaussianMixture(2, n_init=3, random_state=0).fit(logs)
    one = GaussianMixture(1).fit(logs)
    better = two.bic(logs) < one.bic(logs)
    return float(two.weights_[two.means_[:, 0].argmax()]) if better else 0.0


if __name__ == "__main__":
    main()
