"""Do scores tell that normals are dirty? ``python benchmarks/suspicious.py --data FOLDER``.

On each table of ADBench (adbench.zip in the folder) with 150 normal rows and 20 anomalies or more,
nearest neighbours are fitted to up to 800 normal rows, to which anomalies are added so that they
make 0, 5 or 10 %. Each row is scored as if it were new. Statistics of the scores alone, which one
might warn by, are recorded, and how many of the ten highest scores are anomalies. One line for
each table and share in ``results/suspicious.jsonl``.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import genpareto, norm
from sklearn.metrics import roc_auc_score

from insphere.detectors import KNNDetector
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.versions import versions

ROWS = Path(__file__).parent / "results" / "suspicious.jsonl"
SHARES = (0.0, 0.05, 0.1)
MOST, FEWEST, FEWEST_ANOMALIES = 800, 150, 20
SHOWN = 10


def statistics(scores: NDArray[np.float64]) -> dict[str, float]:
    """Return what a warning could rest on; each should be higher for a dirty set."""
    scores = np.maximum(scores, 1e-9 * scores.max() + 1e-300)
    logs = np.log(scores)
    low, middle, high, extreme = np.quantile(logs, [0.25, 0.5, 0.75, 0.99])
    width = high - low + 1e-9
    lower = middle - logs[logs <= middle]
    spread = np.sqrt(np.square(lower).mean()) + 1e-9
    top = np.sort(scores)[-max(SHOWN, len(scores) // 10) :]
    excess = top[1:] - top[0]
    quarter, three = np.quantile(scores, [0.25, 0.75])
    return {
        "far": float((scores > three + 3 * (three - quarter)).mean()),
        "far_log": float((logs > high + 1.5 * width).mean()),
        "mirrored": float((logs > middle + 2 * spread).mean() - norm.sf(2)),
        "reach": float((extreme - middle) / width),
        "tail": float(genpareto.fit(excess / excess.mean(), floc=0)[0]),
    }


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    done = {(row["table"], row["share"]) for row in read_rows(ROWS)}
    with zipfile.ZipFile(given.data / "adbench.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".npz")):
            with np.load(io.BytesIO(archive.read(name)), allow_pickle=False) as table:
                X, y = table["X"].astype(float), table["y"].ravel()
            rng = np.random.default_rng(0)
            good = rng.permutation(np.flatnonzero(y == 0))[:MOST]
            bad = rng.permutation(np.flatnonzero(y == 1))
            if len(good) < FEWEST or len(bad) < FEWEST_ANOMALIES:
                continue
            for share in SHARES:
                if (Path(name).stem, share) not in done:
                    append_row(ROWS, measured(Path(name).stem, X, good, bad, share))


def measured(
    name: str, X: NDArray[Any], good: NDArray[Any], bad: NDArray[Any], share: float
) -> dict[str, Any]:
    """Return the row of one table with one share of anomalies."""
    count = min(len(bad), round(len(good) * share / (1 - share)))
    rows = X[np.concatenate([good, bad[:count]])]
    truth = np.repeat([0, 1], [len(good), count])
    detector = KNNDetector(n_neighbors=5, contamination=0.05).fit(rows)
    scores = detector.scores_of_normals(rows)
    found: dict[str, Any] = {"table": name, "share": share, "n": len(rows), "anomalies": count}
    found["statistics"] = {k: round(v, 5) for k, v in statistics(scores).items()}
    if count:
        found["auc"] = round(float(roc_auc_score(truth, scores)), 5)
        found["in_top_ten"] = int(truth[np.argsort(-scores, kind="stable")[:SHOWN]].sum())
    return found | {"versions": versions()}


if __name__ == "__main__":
    main()
