"""The encoders of Deep SVDD for series beside each other, and beside none, on some series of NAB.

Run ``python benchmarks/series_encoders.py --data FOLDER`` with nab.zip in the folder; rows are
appended to results/series_encoders.jsonl as they come, and what is there is not run again. The
shortest series of NAB are taken, since transformers are slow; protocol as in ``series.py``, counted
at the end of a window. "none" leaves the windows as they are.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from insphere.detectors import SeriesSVDD
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.modalities.series import TimeSeries
from insphere.nets.series import ENCODERS
from insphere.scoring.range_auc import vus_pr
from insphere.versions import versions
from series import all_series

RESULTS = Path(__file__).parent / "results" / "series_encoders.jsonl"


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--series", type=int, default=12, help="number of series")
    given = parser.parse_args()
    done = {(row["series"], row["encoder"]) for row in read_rows(given.out)}
    usable = [
        one for one in all_series(given.data) if one[0].endswith(".csv") and one[2][one[3] :].any()
    ]
    for name, values, labels, n_train in sorted(usable, key=lambda o: len(o[1]))[: given.series]:
        for encoder in ("none", *ENCODERS):
            if (name, encoder) not in done:
                row = measured(values, labels, n_train, encoder)
                append_row(given.out, {"series": name, "encoder": encoder, **row})
                print(name, encoder, row, flush=True)


def measured(values: np.ndarray, labels: np.ndarray, n_train: int, encoder: str) -> dict[str, Any]:
    """Fit and score with one encoder."""
    params: dict[str, Any] = {"steps": 0} if encoder == "none" else {"encoder": encoder}
    series, normal = TimeSeries(values), np.flatnonzero(labels[:n_train] == 0)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = SeriesSVDD(random_state=0, points=False, **params).fit(series.take(normal))
        scores = detector.anomaly_score(series)[n_train:]
    window = detector.modality_.window
    return {
        "vus_pr": round(vus_pr(labels[n_train:], scores, window), 5),
        "auc_pr": round(float(average_precision_score(labels[n_train:], scores)), 5),
        "seconds": round(time.perf_counter() - started, 2),
        "window": window,
        "versions": versions(),
    }


if __name__ == "__main__":
    main()
