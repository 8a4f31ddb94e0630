"""Many images from Parquet shards: ``python benchmarks/bulk.py --images 20000``.

MNIST digits as PNG lie in Parquet files with a row group for each 2,000. They are scored by Ray and
by plain processes, with the same number of workers, in turn; every score is compared with the
library's. The start of Ray and of the processes counts in ``seconds``. The steady rate is that
between the first file of scores and the last. Memory is the resident memory of this process, of the
workers together, and of the processes of the engine: the largest in the second fifth of the time,
and in the last. Processor time is that of all of them. Rows go to results/bulk.jsonl.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
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


class Watch:
    """Samples memory and processor time of this process and all that it started, each second."""

    def __init__(self) -> None:
        self.samples: list[Counter[str]] = []
        self.ticks: dict[int, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._before = _ticks(os.getpid())
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        self.ticks[os.getpid()] = _ticks(os.getpid()) - self._before

    def _run(self) -> None:
        while not self._done.wait(1):
            found: Counter[str] = Counter()
            for pid in (os.getpid(), *_descendants(os.getpid())):
                try:
                    found[_role(pid)] += _resident(pid)
                    self.ticks[pid] = _ticks(pid)
                except OSError:  # it has ended
                    continue
            self.samples.append(found)

    def row(self, images: int) -> dict[str, Any]:
        """Return memory early and late in MB, and processor time."""
        n = len(self.samples)
        early, late = self.samples[n // 5 : max(1, 2 * n // 5)], self.samples[4 * n // 5 :]
        memory = {
            f"{role}_mb": [
                round(max((one[role] for one in part), default=0) / 1e6, 1)
                for part in (early, late)
            ]
            for role in ("driver", "workers", "engine")
        }
        seconds = sum(self.ticks.values()) / os.sysconf("SC_CLK_TCK")
        return {**memory, "cpu_ms_per_image": round(1000 * seconds / images, 4)}


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in file.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def _role(pid: int) -> str:
    if pid == os.getpid():
        return "driver"
    said = Path(f"/proc/{pid}/cmdline").read_bytes()
    return "workers" if b"ShardScorer" in said or b"spawn_main" in said else "engine"


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _ticks(pid: int) -> int:
    said = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(said[11]) + int(said[12])


def steady(out: Path, began: float) -> dict[str, float]:
    """Return when the first file of scores was there, and the rate from then to the last."""
    files = sorted(out.glob("part-*.parquet"), key=lambda file: file.stat().st_mtime)
    rows = [pq.ParquetFile(file).metadata.num_rows for file in files[1:]]
    first, last = files[0].stat().st_mtime, files[-1].stat().st_mtime
    return {
        "first_file_after_seconds": round(first - began, 2),
        "steady_images_per_second": round(sum(rows) / max(last - first, 1e-9), 1),
    }


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
            began = time.time()
            with Watch() as watch:
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
                **steady(out, began), **watch.row(found.rows),
                "load": round(os.getloadavg()[0], 1), "machine": machine("ray", "pyarrow"),
            }  # fmt: skip
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print({key: value for key, value in row.items() if key != "machine"}, flush=True)


if __name__ == "__main__":
    main()
