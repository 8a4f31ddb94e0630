"""Many images from Parquet shards: ``python benchmarks/bulk.py --images 20000``.

MNIST digits as PNG lie in Parquet files with a row group for each 2,000. They are scored by Ray and
by plain processes, with the same number of workers, in turn; every score is compared with the
library's. The start of Ray and of the processes counts. Rows go to results/bulk.jsonl.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from insphere.data.load import load_dataset
from insphere.detectors.registry import build_detector
from insphere.export.graph import export_onnx, load_for_export
from insphere.workflows.bulk_scoring import score_many
from machine import machine

RESULTS = Path(__file__).parent / "results" / "bulk.jsonl"
GROUP, FILE = 2_000, 20_000


def png(image: np.ndarray) -> bytes:
    """Return a grey image as PNG."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def main() -> None:
    """Measure and add the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--method", default="knn")
    parser.add_argument("--backends", nargs="+", default=["processes", "ray"])
    given = parser.parse_args()
    digits = load_dataset("mnist-5k", progress=False)
    three = digits.labels == digits.class_index("3")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        params = {"false_alarm_rate": 0.05}
        build_detector(given.method, params, seed=0).fit(digits.images[three]).save(folder / "m")
        export_onnx(folder / "m", folder / "m.onnx", maps=False)
        wanted = load_for_export(folder / "m").anomaly_score(digits.images)
        contents = [png(image) for image in digits.images]
        (folder / "in").mkdir()
        for start in range(0, given.images, FILE):
            rows = np.arange(start, min(start + FILE, given.images))
            table = pd.DataFrame(
                {"row": rows, "image": [contents[r % len(contents)] for r in rows]}
            )
            table.to_parquet(folder / "in" / f"{start:09d}.parquet", row_group_size=GROUP)
        for backend in given.backends:
            out = folder / backend
            found = score_many(
                folder / "m.onnx", str(folder / "in"), str(out), backend=backend,
                workers=given.workers, progress=False,
            )  # fmt: skip
            scores = pd.read_parquet(out, columns=["row", "score"]).sort_values("row")
            right = wanted[scores["row"].to_numpy() % len(wanted)]
            wrong = int((~np.isclose(scores["score"], right, rtol=1e-5)).sum())
            row = {
                "backend": backend, "method": given.method, "images": found.rows,
                "wrong": wrong + given.images - len(scores), "workers": given.workers,
                "seconds": round(found.seconds, 2),
                "images_per_second": round(found.rows / found.seconds, 1),
                "load": round(os.getloadavg()[0], 1), "machine": machine("ray", "pyarrow"),
            }  # fmt: skip
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print({key: value for key, value in row.items() if key != "machine"}, flush=True)


if __name__ == "__main__":
    main()
